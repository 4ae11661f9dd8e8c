// What is said of a BART's weights on a GPU before they are loaded, for the sizes that are in use: beside what the
// library asks for.
#include <gtest/gtest.h>

#include "device/gpu_stream.h"
#include "manager/gpu_test_support.h"
#include "models/gpu_models.h"
#include "remuda/memory_cost.h"
#include "remuda/summarization_model_manager.h"

namespace remuda {
namespace {

struct Size {
  const char* name;
  int64_t layers;
  int64_t decoder_layers;
  int64_t hidden;
  int64_t vocabulary;
};

// facebook/bart-base, facebook/bart-large-cnn, sshleifer/distilbart-cnn-12-6.
constexpr Size kSizes[] = {
    {"base", 6, 6, 768, 50265}, {"large", 12, 12, 1024, 50264}, {"distilled", 12, 6, 1024, 50264}};

SummarizationModelInfo info_of(const Size& size) {
  SummarizationModelInfo info;
  info.architecture = "bart";
  info.window = info.max_positions = 1024;
  info.encoder_layers = size.layers;
  info.decoder_layers = size.decoder_layers;
  info.encoder_heads = info.decoder_heads = size.hidden / 64;
  info.hidden_size = size.hidden;
  info.encoder_intermediate_size = info.decoder_intermediate_size = 4 * size.hidden;
  info.vocab_size = size.vocabulary;
  const int64_t square = size.hidden * size.hidden;
  info.parameters = size.vocabulary * size.hidden + 2 * 1026 * size.hidden + size.layers * 12 * square +
                    size.decoder_layers * 16 * square;
  return info;
}

// Only sizes are looked at, and which tables are the same.
cuda::HostBart host_of(const Size& size, cuda::NumberType type) {
  static const float numbers = 0.0f;
  cuda::HostBart host = {};
  host.vocab_size = static_cast<int32_t>(size.vocabulary);
  host.d_model = static_cast<int32_t>(size.hidden);
  host.max_positions = 1024;
  host.computed_as = type;
  host.encoder = host.decoder = {.num_layers = static_cast<int32_t>(size.layers),
                                 .num_heads = static_cast<int32_t>(size.hidden / 64),
                                 .inner_size = static_cast<int32_t>(4 * size.hidden),
                                 .reserved = 0,
                                 .words = {.data = &numbers, .type = type, .reserved = 0},
                                 .positions = nullptr,
                                 .embedding_gamma = nullptr,
                                 .embedding_beta = nullptr};
  host.decoder.num_layers = static_cast<int32_t>(size.decoder_layers);
  host.output = host.encoder.words;
  return host;
}

TEST(GpuBartEstimate, IsWhatTheLibraryAsksFor) {
  for (const Size& size : kSizes) {
    for (const auto& [precision, type] : {std::pair(Precision::kFp32, cuda::NumberType::kFloat32),
                                          std::pair(Precision::kFp16, cuda::NumberType::kFloat16)}) {
      const MemoryCost cost = estimate_memory(info_of(size), precision, 0, DeviceKind::kGpu);
      const cuda::HostBart host = host_of(size, type);
      uint64_t weights = 0, loading = 0;
      call_gpu(0, "a BART", models::gpu_bart_models().bart_bytes, &host, &weights, &loading);
      EXPECT_NEAR(static_cast<double>(cost.shared_weights) / static_cast<double>(weights), 1, 0.02) << size.name;
      EXPECT_NEAR(static_cast<double>(cost.loading) / static_cast<double>(loading), 1, 0.02) << size.name;
    }
  }
}

}  // namespace
}  // namespace remuda
