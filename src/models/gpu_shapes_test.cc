#include "models/gpu_shapes.h"

#include <gtest/gtest.h>

#include <functional>

#include "device/testing/test_libraries.h"
#include "models/gpu_models.h"

namespace remuda {
namespace {

io::BartConfig bart_base() {
  return {.vocab_size = 50265,
          .d_model = 768,
          .encoder_layers = 6,
          .decoder_layers = 6,
          .encoder_attention_heads = 12,
          .decoder_attention_heads = 12,
          .encoder_ffn_dim = 3072,
          .decoder_ffn_dim = 3072,
          .max_position_embeddings = 1024};
}

io::ModelDirectory bert_base() {
  io::ModelDirectory directory;
  directory.encoder.vocab_size = 30522;
  directory.encoder.hidden_size = 768;
  directory.encoder.num_layers = 12;
  directory.encoder.num_heads = 12;
  directory.encoder.intermediate_size = 3072;
  directory.encoder.max_positions = 512;
  directory.pipeline.modules = {io::PoolingConfig{.modes = {io::PoolingMode::kMean}}};
  return directory;
}

// What the library says of the same sizes.
std::string librarys_problem(const io::BartConfig& config) {
  const cuda::HostBart host = models::gpu_sizes(config);
  uint64_t weights = 0, loading = 0;
  cuda::Message message = {};
  models::bart_models_of(open_gpu_backend(test_library("remuda_cuda_on_host")))
      .bart_bytes(&host, &weights, &loading, &message);
  return message.text;
}

std::string librarys_problem(const io::ModelDirectory& directory) {
  std::vector<cuda::HostDense> dense;
  const auto chain = io::plain_chain(directory.pipeline);
  for (const io::DenseConfig& each : chain->dense) dense.push_back(models::gpu_sizes(each));
  const cuda::PoolingKind pooling = cuda::PoolingKind::kMean;
  cuda::HostEncoder host = models::gpu_sizes(directory.encoder);
  host.num_poolings = 1;
  host.poolings = &pooling;
  host.num_dense = static_cast<int32_t>(dense.size());
  host.dense = dense.data();
  uint64_t weights = 0, loading = 0;
  cuda::Message message = {};
  models::models_of(open_gpu_backend(test_library("remuda_cuda_on_host")))
      .encoder_bytes(&host, &weights, &loading, &message);
  return message.text;
}

TEST(GpuShapes, ABartHasKernelsOrAReasonAsTheLibraryHas) {
  EXPECT_EQ(models::gpu_shape_problem(bart_base()), "");
  EXPECT_EQ(librarys_problem(bart_base()), "");
  const std::function<void(io::BartConfig&)> changes[] = {
      [](io::BartConfig& config) { config.vocab_size = 300'001; },
      [](io::BartConfig& config) { config.d_model = 772; },
      [](io::BartConfig& config) { config.d_model = 4104; },
      [](io::BartConfig& config) { config.encoder_ffn_dim = 3074; },
      [](io::BartConfig& config) { config.decoder_ffn_dim = 50; },
      [](io::BartConfig& config) { config.encoder_attention_heads = 2; },
      [](io::BartConfig& config) { config.decoder_attention_heads = 4; }};
  for (const auto& change : changes) {
    io::BartConfig config = bart_base();
    change(config);
    EXPECT_NE(models::gpu_shape_problem(config), "");
    EXPECT_NE(librarys_problem(config), "") << models::gpu_shape_problem(config);
  }
}

TEST(GpuShapes, AnEncoderHasKernelsOrAReasonAsTheLibraryHas) {
  EXPECT_EQ(models::gpu_shape_problem(bert_base()), "");
  EXPECT_EQ(librarys_problem(bert_base()), "");
  const std::function<void(io::ModelDirectory&)> changes[] = {
      [](io::ModelDirectory& directory) { directory.encoder.hidden_size = 780; },
      [](io::ModelDirectory& directory) { directory.encoder.intermediate_size = 3070; },
      [](io::ModelDirectory& directory) { directory.encoder.num_heads = 2; },
      [](io::ModelDirectory& directory) {
        directory.pipeline.modules.emplace_back(io::DenseConfig{.in_features = 768, .out_features = 50});
      }};
  for (const auto& change : changes) {
    io::ModelDirectory directory = bert_base();
    change(directory);
    EXPECT_NE(models::gpu_shape_problem(directory), "");
    EXPECT_NE(librarys_problem(directory), "") << models::gpu_shape_problem(directory);
  }
}

// What no size says.
TEST(GpuShapes, AChainOrAnActivationWithoutKernelsIsSaid) {
  const std::function<void(io::ModelDirectory&)> changes[] = {
      [](io::ModelDirectory& directory) { directory.encoder.hidden_act = "silu"; },
      [](io::ModelDirectory& directory) { directory.pipeline.modules.emplace_back(io::LayerNormConfig{768, {}}); },
      [](io::ModelDirectory& directory) { directory.pipeline.width = 768; },
      [](io::ModelDirectory& directory) {
        directory.pipeline.modules.emplace_back(io::NormalizeConfig{});
        directory.pipeline.modules.emplace_back(io::NormalizeConfig{});
      },
      [](io::ModelDirectory& directory) {
        directory.pipeline.modules.emplace_back(
            io::DenseConfig{.in_features = 768, .out_features = 64, .activation = ActivationFunction::kMish});
      },
      [](io::ModelDirectory& directory) {
        directory.pipeline.modules.emplace_back(
            io::DenseConfig{.in_features = 768, .out_features = 768, .residual = true});
      }};
  for (const auto& change : changes) {
    io::ModelDirectory directory = bert_base();
    change(directory);
    EXPECT_NE(models::gpu_shape_problem(directory), "");
  }
  io::BartConfig bart = bart_base();
  bart.activation_function = "swish";
  EXPECT_NE(models::gpu_shape_problem(bart), "");
}

}  // namespace
}  // namespace remuda
