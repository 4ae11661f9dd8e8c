// Embedding managers whose models really lie on a GPU, the processor in its place: what they answer, beside the CPU's
// answers, and what they take of its memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "device/gpu_arena.h"
#include "device/gpu_stream.h"
#include "hub/resolve.h"
#include "manager/gpu_test_support.h"
#include "manager/random_bart.h"
#include "manager/random_encoder.h"
#include "models/gpu_encoder_weights.h"
#include "models/gpu_models.h"
#include "models/vectors_test_support.h"
#include "remuda/embedding_model_manager.h"
#include "remuda/error.h"
#include "remuda/snapshot.h"
#include "remuda/summarization_model_manager.h"

namespace remuda {
namespace {

using ::testing::AllOf;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;
using ::testing::ThrowsMessage;

const std::vector<std::string> kTexts = {"The herd at dawn.", "a horse", "x", "",
                                         "one two three one two three a horse"};

// The least of two sets of vectors; rows of zeros, of texts without tokens, are alike.
double least_cosine(const Embeddings& a, const Embeddings& b) {
  const auto size = static_cast<size_t>(a.dimension);
  double least = 1;
  const std::vector<float> zeros(size);
  for (size_t at = 0; at < a.values.size(); at += size) {
    const auto x = std::span(a.values).subspan(at, size), y = std::span(b.values).subspan(at, size);
    if (!std::ranges::equal(x, zeros) || !std::ranges::equal(y, zeros)) least = std::min(least, cosine(x, y));
  }
  return least;
}

class GpuEmbedding : public GpuTest {
 protected:
  static Settings settings(const std::string& model, Precision precision, int64_t instances = 1) {
    Settings settings;
    settings.embedding_model = model;
    settings.precision = precision;
    settings.model_pool_max_instances = instances;
    return settings;
  }

  static void expect_answers(const std::string& model) {
    EmbeddingModelManager cpu(settings(model, Precision::kFp32));
    EmbedOptions options;
    if (!cpu.info().prompts.empty()) options.prompt_name = cpu.info().prompts.back();
    const Embeddings expected = cpu.embed_texts(kTexts, options);
    for (const Precision precision : {Precision::kFp32, Precision::kFp16, Precision::kBf16, Precision::kTf32}) {
      EmbeddingModelManager gpu(on_a_gpu(settings(model, precision)));
      const Embeddings found = gpu.embed_texts(kTexts, options);
      EXPECT_EQ(gpu.get_pool_stats().by_device.at("cuda:0"), 1);
      EXPECT_EQ(gpu.precision(), precision);
      if (precision == Precision::kFp32) {
        EXPECT_THAT(found.values, Pointwise(FloatNear(1e-4f), expected.values)) << model;
      }
      // Random weights keep apart what training would have made alike.
      EXPECT_GE(least_cosine(found, expected), precision == Precision::kBf16 ? 0.999 : 0.9999) << model;
    }
  }
};

TEST_F(GpuEmbedding, AnswersAsTheCpuDoes) {
  expect_answers(std::string(REMUDA_SOURCE_DIR) + "/tests/golden/encoders/bert_prompts");
  expect_answers(RandomEncoder({.layers = 3, .hidden = 128, .inner = 200}).path());
  EXPECT_EQ(taken(), 0u) << "the managers are gone";
}

TEST_F(GpuEmbedding, AnswersAsTheCpuDoesWherePromptsAreNotPooled) {
  const RandomEncoder model({.layers = 2, .hidden = 64, .inner = 128});
  const auto write = [&](const char* file, const char* text) {
    const std::filesystem::path path = std::filesystem::path(model.path()) / file;
    std::filesystem::create_directory(path.parent_path());
    std::ofstream(path) << text;
  };
  write("modules.json", R"([{"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},)"
                        R"( {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}])");
  write("1_Pooling/config.json",
        R"({"word_embedding_dimension": 64, "pooling_mode_mean_tokens": true, "include_prompt": false})");
  write("config_sentence_transformers.json", R"({"prompts": {"query": "one two "}})");
  expect_answers(model.path());
}

TEST_F(GpuEmbedding, ATextsVectorIsTheSameBytesAloneJoinedAndOnAnyInstance) {
  const RandomEncoder model({.layers = 2, .hidden = 64, .inner = 256});
  EmbeddingModelManager manager(on_a_gpu(settings(model.path(), Precision::kFp16, 4)));
  std::vector<std::vector<float>> alone;
  for (const std::string& text : kTexts) alone.push_back(manager.embed_text(text));
  std::vector<std::thread> threads;
  std::atomic<int> differ = 0;
  for (size_t t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < 3; ++i) {
        const size_t which = (t + i) % kTexts.size();
        if (t % 2 == 0) {  // Joined with whoever else calls.
          differ += manager.embed_text(kTexts[which]) != alone[which];
        } else {
          const Lease<EmbeddingInstance> lease = manager.acquire();
          const Embeddings found = manager.embed_texts(kTexts, *lease);
          const auto size = static_cast<size_t>(found.dimension);
          for (size_t row = 0; row < kTexts.size(); ++row) {
            differ += std::memcmp(found.values.data() + row * size, alone[row].data(), size * sizeof(float)) != 0;
          }
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(differ, 0);
}

// By the library's own figures, of which nothing is computed here but the weights loaded.
TEST_F(GpuEmbedding, BatchesAreLargerThereUnlessTheCallSaysHowLarge) {
  const RandomEncoder model({.layers = 1, .hidden = 32, .inner = 64});
  const std::vector<std::string> texts(150, kTexts.back());
  const auto batches = [&texts](EmbeddingModelManager& manager, EmbedOptions options) {
    int looks = 0;  // One before each.
    options.cancelled = [&looks] { return ++looks < 0; };
    const Lease<EmbeddingInstance> lease = manager.acquire();
    const Embeddings found = manager.embed_texts(texts, *lease, options);
    const int64_t tokens = std::accumulate(found.tokens.begin(), found.tokens.end(), int64_t{0});
    EXPECT_GT(tokens, 3 * 512);
    EXPECT_LT(tokens, 8192);
    return looks;
  };
  EmbeddingModelManager cpu(settings(model.path(), Precision::kFp32));
  EmbeddingModelManager gpu(on_a_gpu(settings(model.path(), Precision::kFp32)));
  EXPECT_GT(batches(cpu, {}), 3);
  EXPECT_EQ(batches(gpu, {}), 1);
  EXPECT_EQ(batches(gpu, {.max_batch_tokens = 512}), batches(cpu, {}));
  EXPECT_EQ(batches(cpu, {.max_batch_tokens = 8192}), 1);

  EmbeddingModelManager shared(on_a_gpu(settings(model.path(), Precision::kFp32, 9)));
  std::vector<Lease<EmbeddingInstance>> others;
  for (int i = 0; i < 8; ++i) others.push_back(shared.acquire());
  EXPECT_GT(batches(shared, {}), 1) << "what one would compute at once is shared";
  others.clear();
  EXPECT_EQ(batches(shared, {}), 1);
}

TEST_F(GpuEmbedding, EstimatesAreWhatTheLibraryTakes) {
  const cuda::Models& library = models::gpu_models();
  const std::string minilm = Settings{}.embedding_model;
  const io::ModelDirectory directory = io::read_model_directory(hub::resolve_model(minilm));
  GpuStream stream(backend_, 0);
  for (const Precision precision : {Precision::kFp32, Precision::kFp16}) {
    constexpr int64_t kSequences = 160, kTokens = 100;
    const MemoryCost cost =
        estimate_memory(inspect_embedding_model(minilm), precision, kSequences * kTokens, DeviceKind::kGpu);
    const models::GpuEncoderWeights weights(directory, precision);
    uint64_t held = 0, loading = 0, workspace = 0;
    call_gpu(0, "bytes", library.encoder_bytes, &weights.host(), &held, &loading);
    const auto held_block = GpuArena::of("cuda:0").allocate_reserved(held, stream);
    const auto loading_block = GpuArena::of("cuda:0").allocate_reserved(loading, stream);
    cuda::Encoder* encoder = nullptr;
    call_gpu(0, "loading", library.load_encoder, stream.get(), &weights.host(), held_block.data(), loading_block.data(),
             &encoder);
    std::vector<int64_t> offsets(kSequences + 1);
    for (int64_t i = 0; i <= kSequences; ++i) offsets[static_cast<size_t>(i)] = i * kTokens;
    const cuda::HostBatch batch = {.ids = nullptr,
                                   .position_ids = nullptr,
                                   .offsets = offsets.data(),
                                   .skipped = nullptr,
                                   .sequences = kSequences};
    call_gpu(0, "a batch", library.workspace_bytes, encoder, &batch, &workspace);
    library.unload_encoder(encoder);
    expect_within_a_tenth("weights", cost.shared_weights, held);
    expect_within_a_tenth("loading", cost.loading, loading);
    expect_within_a_tenth("workspace", cost.workspace, workspace);
  }
}

TEST_F(GpuEmbedding, WhatIsTakenIsCountedAndShown) {
  const RandomEncoder model({.layers = 2, .hidden = 256, .inner = 1024});
  EmbeddingModelManager manager(on_a_gpu(settings(model.path(), Precision::kFp32)));
  const MemoryBudget& budget = MemoryBudget::of("cuda:0");
  {
    const Lease<EmbeddingInstance> lease = manager.acquire();
    const uint64_t weights = budget.stats().weights;
    EXPECT_EQ(lease->metadata().shared_bytes, weights);
    EXPECT_LT(taken(), weights + kDescribedGranularity) << "what loading took is the driver's again";
    EXPECT_EQ(gpu_memory().at(0).memory_allocated, weights);
    EXPECT_EQ(manager.get_pool_stats().gpu_memory.at("cuda:0").allocated, weights);
    EXPECT_EQ(manager.get_pool_stats().gpu_memory.at("cuda:0").reserved, taken());
    EXPECT_EQ(gpu_memory().at(0).memory_reserved, taken());
    const ProcessSnapshot found = snapshot();
    const auto shown = std::ranges::find(found.weights, "cuda:0", &WeightsSnapshot::device);
    ASSERT_NE(shown, found.weights.end());
    EXPECT_EQ(shown->bytes, weights);
    EXPECT_EQ(shown->mapped_bytes, 0u);

    manager.embed_texts(kTexts, *lease);
    EXPECT_EQ(gpu_memory().at(0).memory_allocated, weights) << "the workspace was given back";
    EXPECT_EQ(budget.stats().used, taken()) << "all that there is of the driver's is counted";
    EXPECT_EQ(manager.get_pool_stats().by_device.at("cuda:0"), 1);
  }
  EXPECT_TRUE(manager.cleanup());
  EXPECT_EQ(taken(), 0u);
  EXPECT_EQ(budget.stats().used, 0u);
}

TEST_F(GpuEmbedding, FourInstancesTakeLittleMoreThanOneAndAllGoesBack) {
  const RandomEncoder model({.layers = 2, .hidden = 256, .inner = 1024});
  const auto peak_of = [&](int64_t instances) {
    EmbeddingModelManager manager(on_a_gpu(settings(model.path(), Precision::kFp16, instances)));
    std::vector<Lease<EmbeddingInstance>> leases;
    for (int64_t i = 0; i < instances; ++i) leases.push_back(manager.acquire());
    std::vector<std::thread> threads;
    for (auto& lease : leases) {
      threads.emplace_back([&manager, &lease] { manager.embed_texts(kTexts, *lease); });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(manager.get_pool_stats().by_device.at("cuda:0"), instances);
    return taken();
  };
  const uint64_t one = peak_of(1);
  EXPECT_GT(one, 0u);
  EXPECT_LE(static_cast<double>(peak_of(4)), 1.3 * static_cast<double>(one));
  EXPECT_EQ(taken(), 0u);
}

TEST_F(GpuEmbedding, FiftyLoadsLeaveNothing) {
  const RandomEncoder model({.layers = 1, .hidden = 64, .inner = 128});
  EmbeddingModelManager manager(on_a_gpu(settings(model.path(), Precision::kFp16)));
  for (int i = 0; i < 50; ++i) {
    ASSERT_EQ(manager.embed_text("a horse").size(), 64u);
    ASSERT_GT(taken(), 0u);
    ASSERT_TRUE(manager.cleanup());
    ASSERT_EQ(taken(), 0u) << i;
    ASSERT_EQ(MemoryBudget::of("cuda:0").stats().used, 0u) << i;
    ASSERT_EQ(gpu_memory().at(0).memory_reserved, 0u) << i;
  }
}

TEST_F(GpuEmbedding, AShapeWithoutKernelsIsAnErrorWhereAGpuIsDemanded) {
  const RandomEncoder model({.layers = 1, .hidden = 64, .inner = 124});  // Of 8 there would be kernels.
  EXPECT_THAT([&] { EmbeddingModelManager manager(on_a_gpu(settings(model.path(), Precision::kFp16))); },
              ThrowsMessage<Error>(AllOf(HasSubstr(model.path()), HasSubstr("no kernels for this model on GPUs"),
                                         HasSubstr("intermediate_size: expected a multiple of 8, found 124"))));
}

TEST_F(GpuEmbedding, AShapeWithoutKernelsFallsBackToTheCpu) {
  const RandomEncoder model({.layers = 1, .hidden = 64, .inner = 124});
  Settings automatic = settings(model.path(), Precision::kAuto);
  automatic.device = "auto";
  EmbeddingModelManager manager(automatic);
  EXPECT_EQ(manager.get_device(), "cpu");
  EXPECT_FALSE(manager.embed_text("a horse").empty());
  EXPECT_EQ(manager.get_pool_stats().fallbacks, 1u);
  EXPECT_EQ(taken(), 0u);
}

TEST_F(GpuEmbedding, AGpuWithoutProductsIsOfNoUse) {
  gpus_.products_status = cuda::Status::kFailed;
  std::snprintf(gpus_.products_message, sizeof gpus_.products_message, "cuBLASLt is missing");
  EXPECT_THAT([] { EmbeddingModelManager manager(on_a_gpu()); },
              ThrowsMessage<Error>(HasSubstr("cuda:0 can't be used: cuBLASLt is missing")));
}

// The machine as a library for encoders alone would describe it.
class WithoutBart : public MachineWithBackend {
 public:
  using MachineWithBackend::MachineWithBackend;

  std::vector<Device> devices() override {
    std::vector<Device> devices = MachineWithBackend::devices();
    for (Device& device : devices) device.computes &= ~cuda::kComputesBart;
    return devices;
  }
};

TEST_F(GpuEmbedding, WhatTheLibraryHasNoKernelsForIsNotPlacedThere) {
  set_device_provider(std::make_shared<WithoutBart>(backend_));
  const RandomBart model({});
  Settings settings;
  settings.summarization_model = model.path();
  settings.device = "cuda:0";
  EXPECT_THAT([&] { SummarizationModelManager manager(settings); },
              ThrowsMessage<Error>(HasSubstr("cuda:0 can't be used: remuda's library has no kernels for BART")));
  settings.device = "auto";
  SummarizationModelManager manager(settings);
  EXPECT_EQ(manager.acquire()->metadata().device, "cpu");
  EXPECT_EQ(manager.get_pool_stats().fallbacks, 1u);
  EXPECT_EQ(taken(), 0u);
}

}  // namespace
}  // namespace remuda
