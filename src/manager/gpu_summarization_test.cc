// Summarization managers whose models really lie on a GPU, the processor in its place: what they answer, beside the
// CPU's answers, and what they take of its memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include "base/log_test_support.h"
#include "device/gpu_arena.h"
#include "manager/gpu_test_support.h"
#include "manager/random_bart.h"
#include "manager/summarization_benchmark.h"
#include "manager/summarization_model.h"
#include "remuda/error.h"
#include "remuda/snapshot.h"
#include "remuda/summarization_model_manager.h"

namespace remuda {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// Little of everything: the processor is slow in a GPU's place.
const std::vector<std::string> kTexts = {"The herd waits at dawn.", "", "one two three four five six"};

constexpr RandomBartShape kTiny = {
    .hidden = 32, .encoder_inner = 64, .decoder_inner = 96, .positions = 70, .vocabulary = 250, .length = 12};

// Every kind of search, and every rule.
std::vector<SummarizeOptions> all_options() {
  std::vector<SummarizeOptions> all;
  const auto add = [&all](int64_t beams) -> GenerationOptions& {
    all.emplace_back().generation.num_beams = beams;
    all.back().generation.max_length = 9;
    all.back().generation.min_length = 0;
    return all.back().generation;
  };
  add(1).repetition_penalty = 1.3;
  add(1).do_sample = true;
  add(2).do_sample = true;
  add(2).forced_bos_token_id = 5;
  GenerationOptions& rules = add(4);
  rules.min_length = 5;
  rules.no_repeat_ngram_size = 2;
  rules.encoder_no_repeat_ngram_size = 3;
  rules.bad_words_ids = std::vector<TokenIds>{{17}, {4, 6}};
  rules.suppress_tokens = TokenIds{21, 22};
  rules.forced_eos_token_id = TokenIds{7};
  rules.num_return_sequences = 3;
  rules.length_penalty = 2.0;
  add(9).early_stopping = EarlyStopping::kTrue;
  return all;
}

void expect_alike(const std::vector<Summary>& found, const std::vector<Summary>& expected, double tolerance) {
  const auto expect_text = [tolerance](const GeneratedText& a, const GeneratedText& b) {
    EXPECT_EQ(a.ids, b.ids);
    EXPECT_EQ(a.text, b.text);
    EXPECT_NEAR(a.score, b.score, tolerance * std::max(1.0, std::abs(b.score)));
    EXPECT_EQ(a.complete, b.complete);
  };
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    expect_text(found[i].best, expected[i].best);
    ASSERT_EQ(found[i].others.size(), expected[i].others.size());
    for (size_t j = 0; j < found[i].others.size(); ++j) expect_text(found[i].others[j], expected[i].others[j]);
  }
}

class GpuSummarization : public GpuTest {
 protected:
  static Settings settings(const std::string& model, Precision precision, int64_t instances = 1) {
    Settings settings;
    settings.summarization_model = model;
    settings.precision = precision;
    settings.model_pool_max_instances = instances;
    return settings;
  }

  static void expect_answers(const RandomBartShape& shape, const std::vector<SummarizeOptions>& all) {
    const RandomBart model(shape);
    SummarizationModelManager cpu(settings(model.path(), Precision::kFp32));
    SummarizationModelManager gpu(on_a_gpu(settings(model.path(), Precision::kFp32)));
    for (const SummarizeOptions& options : all) {
      expect_alike(gpu.summarize(kTexts, options), cpu.summarize(kTexts, options), 1e-4);
    }
    EXPECT_EQ(gpu.get_pool_stats().by_device.at("cuda:0"), 1);
    EXPECT_EQ(gpu.precision(), Precision::kFp32);
  }
};

TEST_F(GpuSummarization, AnswersAsTheCpuDoes) {
  expect_answers(kTiny, all_options());
  EXPECT_EQ(taken(), 0u) << "the managers are gone";
}

TEST_F(GpuSummarization, AnswersAsTheCpuDoesWhereTheOutputLayerIsNotTied) {
  expect_answers({.encoder_layers = 1, .decoder_layers = 3, .positions = 64, .vocabulary = 1000, .tied = false},
                 {all_options()[4]});
}

TEST_F(GpuSummarization, ReducedPrecisionsAnswerNearlySo) {
  const RandomBart model(kTiny);
  SummarizationModelManager cpu(settings(model.path(), Precision::kFp32));
  SummarizeOptions options;
  options.generation.num_beams = 1;
  options.generation.max_length = options.generation.min_length = 6;
  const std::vector<Summary> expected = cpu.summarize(kTexts, options);
  for (const Precision precision : {Precision::kAuto, Precision::kBf16, Precision::kTf32}) {
    SummarizationModelManager gpu(on_a_gpu(settings(model.path(), precision)));
    EXPECT_EQ(gpu.precision(), precision == Precision::kAuto ? Precision::kFp16 : precision);
    expect_alike(gpu.summarize(kTexts, options), expected, 0.05);
  }
}

TEST_F(GpuSummarization, ADocumentsSummaryIsTheSameAloneJoinedAndOnAnyInstance) {
  const RandomBart model(kTiny);
  SummarizationModelManager manager(on_a_gpu(settings(model.path(), Precision::kFp16, 2)));
  const std::vector<SummarizeOptions> options = all_options();
  std::vector<std::vector<Summary>> alone;
  for (const SummarizeOptions& each : options) alone.push_back(manager.summarize(kTexts, each));
  std::atomic<int> differ = 0;
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      const size_t which = t % options.size();
      std::vector<Summary> found;
      if (t % 4 == 0) {
        const Lease<SummarizationInstance> lease = manager.acquire();
        found = manager.summarize(kTexts, *lease, options[which]);
      } else {  // Joined with whoever else calls.
        found = manager.summarize(kTexts, options[which]);
      }
      for (size_t j = 0; j < kTexts.size(); ++j) {
        differ += found[j].best.ids != alone[which][j].best.ids || found[j].best.score != alone[which][j].best.score;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(differ, 0);
}

TEST_F(GpuSummarization, StreamsPartialResultsAndLongDocumentsWorkThere) {
  const RandomBart model(kTiny);
  SummarizationModelManager manager(on_a_gpu(settings(model.path(), Precision::kFp32)));
  std::string streamed;
  SummarizeOptions options;
  options.on_text = [&](int64_t, std::string_view text) { streamed += text; };
  EXPECT_EQ(manager.summarize_text(kTexts[2], options), streamed);

  options = {};
  options.partial = true;
  int looks = 0;
  options.cancelled = [&looks] { return ++looks > 4; };
  const Lease<SummarizationInstance> lease = manager.acquire();
  const std::vector<Summary> partial = manager.summarize(std::span(kTexts).first(1), *lease, options);
  EXPECT_FALSE(partial[0].best.complete);
  EXPECT_GT(partial[0].best.ids.size(), 1u);

  std::string text;
  for (int i = 0; i < 3; ++i) text += kTexts[0] + " ";
  SummarizationModelManager cpu(settings(model.path(), Precision::kFp32));
  const LongOptions parts{.part_tokens = 12};
  const LongSummary found = manager.summarize_long(text, *lease, {}, parts);
  const LongSummary expected = cpu.summarize_long(text, {}, parts);
  EXPECT_GT(found.parts.size(), 1u);
  EXPECT_EQ(found.summary.best.ids, expected.summary.best.ids);
}

TEST_F(GpuSummarization, WhatIsTakenIsCountedAndShown) {
  const RandomBart model({.hidden = 256, .encoder_inner = 1024, .decoder_inner = 1024, .length = 6});
  SummarizationModelManager manager(on_a_gpu(settings(model.path(), Precision::kFp32)));
  const MemoryBudget& budget = MemoryBudget::of("cuda:0");
  {
    const Lease<SummarizationInstance> lease = manager.acquire();
    const uint64_t weights = budget.stats().weights;
    EXPECT_EQ(lease->metadata().shared_bytes, weights);
    EXPECT_LT(taken(), weights + kDescribedGranularity) << "what loading took is the driver's again";
    EXPECT_EQ(gpu_memory().at(0).memory_allocated, weights);
    const ProcessSnapshot shown = snapshot();
    const auto found = std::ranges::find(shown.weights, "cuda:0", &WeightsSnapshot::device);
    ASSERT_NE(found, shown.weights.end());
    EXPECT_EQ(found->bytes, weights);
    EXPECT_EQ(found->mapped_bytes, 0u);

    uint64_t most = 0;
    SummarizeOptions options;
    options.cancelled = [&] {
      most = std::max(most, gpu_memory().at(0).memory_allocated);
      return false;
    };
    manager.summarize(kTexts, *lease, options);
    EXPECT_GT(most, weights) << "documents and steps are counted";
    EXPECT_EQ(gpu_memory().at(0).memory_allocated, weights) << "and given back";
    EXPECT_EQ(budget.stats().used, taken()) << "all that there is of the driver's is counted";
  }
  EXPECT_TRUE(manager.cleanup());
  EXPECT_EQ(taken(), 0u);
  EXPECT_EQ(budget.stats().used, 0u);
}

// Documents that are decoded at once: those that were begun when the first step was done.
int64_t decoded_at_once(SummarizationModelManager& manager, SummarizeOptions options) {
  const std::vector<std::string> texts(20, kTexts[2]);
  options.partial = true;
  options.cancelled = [looks = 0]() mutable { return ++looks > 1; };
  const Lease<SummarizationInstance> lease = manager.acquire();
  const std::vector<Summary> found = manager.summarize(texts, *lease, options);
  return std::ranges::count_if(found, [](const Summary& summary) { return !summary.best.ids.empty(); });
}

// Of a document of `ids` tokens, so many of them.
int64_t documents_in(int64_t batch_tokens, int64_t ids, const GenerationOptions& generation) {
  return batch_tokens / (ids + *generation.num_beams * (*generation.max_length - 1));
}

TEST_F(GpuSummarization, AGpuDecodesMoreDocumentsAtOnceUnlessTheCallSaysHowMany) {
  const RandomBart model(kTiny);
  SummarizationModelManager cpu(settings(model.path(), Precision::kFp32));
  SummarizationModelManager gpu(on_a_gpu(settings(model.path(), Precision::kFp32)));
  SummarizeOptions options;
  options.generation.num_beams = 16;
  options.generation.max_length = options.generation.min_length = 61;
  const int64_t ids = cpu.summarize({&kTexts[2], 1}).front().used_tokens;
  const int64_t few = documents_in(8192, ids, options.generation);
  ASSERT_EQ(few, 8);
  EXPECT_EQ(decoded_at_once(cpu, options), few);
  EXPECT_EQ(decoded_at_once(gpu, options), 20);
  for (SummarizationModelManager* manager : {&cpu, &gpu}) {
    options.max_batch_tokens = 8192;
    EXPECT_EQ(decoded_at_once(*manager, options), few);
    options.max_batch_tokens = 3000;
    EXPECT_EQ(decoded_at_once(*manager, options), documents_in(3000, ids, options.generation));
    options.max_batch_tokens = 65536;
    EXPECT_EQ(decoded_at_once(*manager, options), 20);
  }
}

// Batches of the default size would take more than there is, of one instance and all the more of two.
TEST_F(GpuSummarization, InstancesThatDecodeAtOnceShareWhatMemoryThereIs) {
  constexpr uint64_t kTotal = 256 * kMiB;
  gpus_.gpus[0].memory_total = kTotal;
  const RandomBart model({.encoder_layers = 1,
                          .decoder_layers = 8,
                          .hidden = 256,
                          .encoder_inner = 64,
                          .decoder_inner = 64,
                          .positions = 1024,
                          .vocabulary = 250,
                          .beams = 1,
                          .length = 3});
  SummarizeOptions options;
  options.generation.max_length = 1000;  // Which has its room, though the second token is the last.
  options.generation.forced_bos_token_id = 7;
  options.timeout = std::chrono::seconds(20);
  const std::vector<std::string> texts(14, kTexts[2]);
  for (const int64_t instances : {1, 3}) {
    SummarizationModelManager manager(on_a_gpu(settings(model.path(), Precision::kFp32, instances)));
    std::vector<Lease<SummarizationInstance>> leases;
    for (int64_t i = 0; i < instances; ++i) leases.push_back(manager.acquire());
    const MemoryBudget& budget = MemoryBudget::of("cuda:0");
    const auto refused_before = budget.stats().refusals;
    const uint64_t document = leases[0]->model().bart->make_engine()->document_bytes(8, {1, 999});
    const uint64_t room = budget.stats().limit - budget.stats().weights;
    ASSERT_GT(texts.size() * document, room);
    std::atomic<uint64_t> most = 0;
    std::vector<std::thread> threads;
    for (auto& lease : leases) {
      threads.emplace_back([&, mine = options]() mutable {
        mine.cancelled = [&] {
          most = std::max(most.load(), taken());
          return false;
        };
        for (int i = 0; i < 2; ++i) EXPECT_NO_THROW(manager.summarize(texts, *lease, mine));
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_LE(most, budget.stats().limit) << instances;
    EXPECT_GT(most, leases[0]->metadata().shared_bytes + room / 3) << instances << ": most of it is used";
    EXPECT_EQ(budget.stats().refusals, refused_before) << instances;
  }
}

TEST_F(GpuSummarization, FourInstancesTakeLittleMoreThanOneAndAllGoesBack) {
  const RandomBart model({.hidden = 256, .encoder_inner = 1024, .decoder_inner = 1024, .length = 4});
  const auto peak_of = [&](int64_t instances) {
    SummarizationModelManager manager(on_a_gpu(settings(model.path(), Precision::kFp16, instances)));
    std::vector<Lease<SummarizationInstance>> leases;
    for (int64_t i = 0; i < instances; ++i) leases.push_back(manager.acquire());
    std::vector<std::thread> threads;
    for (auto& lease : leases) {
      threads.emplace_back([&manager, &lease] { manager.summarize_text(kTexts[0], *lease); });
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

TEST_F(GpuSummarization, FiftyLoadsLeaveNothing) {
  const RandomBart model(kTiny);
  SummarizationModelManager manager(on_a_gpu(settings(model.path(), Precision::kFp16)));
  SummarizeOptions options;
  options.generation.max_length = options.generation.min_length = 3;
  for (int i = 0; i < 50; ++i) {
    manager.summarize_text(kTexts[0], options);
    ASSERT_GT(taken(), 0u);
    ASSERT_TRUE(manager.cleanup());
    ASSERT_EQ(taken(), 0u) << i;
    ASSERT_EQ(MemoryBudget::of("cuda:0").stats().used, 0u) << i;
  }
}

// Of a document that fills the window and is decoded as the checkpoint says, by what the engine says that it takes.
TEST_F(GpuSummarization, EstimatesAreWhatIsTaken) {
  for (const bool tied : {true, false}) {
    const RandomBart model({.encoder_layers = 3,
                            .hidden = 256,
                            .encoder_inner = 1024,
                            .decoder_inner = 768,
                            .positions = 1024,
                            .vocabulary = 8000,
                            .tied = tied});
    const SummarizationModelInfo info = inspect_summarization_model(model.path());
    for (const Precision precision : {Precision::kFp32, Precision::kFp16}) {
      SummarizationModelManager manager(on_a_gpu(settings(model.path(), precision)));
      const Lease<SummarizationInstance> lease = manager.acquire();
      const auto engine = lease->model().bart->make_engine();
      const models::DecodeLimits limits{.max_rows = 4, .max_positions = 63};
      for (const int64_t documents : {1, 4}) {
        const int64_t tokens = documents * (info.window + limits.max_rows * limits.max_positions);
        const MemoryCost cost = estimate_memory(info, precision, tokens, DeviceKind::kGpu);
        const uint64_t document = engine->document_bytes(info.window, limits);
        expect_within_a_tenth("weights", cost.shared_weights, lease->metadata().shared_bytes);
        expect_within_a_tenth("document", cost.document, document + engine->step_bytes(limits.max_rows));
        expect_within_a_tenth(
            "workspace", cost.workspace,
            static_cast<uint64_t>(documents) * document + std::max(engine->encode_bytes(documents * info.window),
                                                                   engine->step_bytes(documents * limits.max_rows)));
      }
    }
  }
}

TEST_F(GpuSummarization, ADocumentThatDoesNotFitIsRefusedWithTheFigures) {
  gpus_.gpus[0].memory_total = 48 * kMiB;
  const RandomBart model({.encoder_layers = 1, .decoder_layers = 6, .hidden = 128, .positions = 1024, .length = 4});
  SummarizationModelManager manager(on_a_gpu(settings(model.path(), Precision::kFp32)));
  EXPECT_NO_THROW(manager.summarize_text(kTexts[2]));
  SummarizeOptions options;
  options.generation.num_beams = 16;
  options.generation.max_length = options.generation.min_length = 1000;
  EXPECT_THAT([&] { manager.summarize_text(kTexts[2], options); },
              ThrowsMessage<OutOfMemory>(AllOf(HasSubstr("16 sequences of 1000 tokens"), HasSubstr("num_beams"))));
  EXPECT_NO_THROW(manager.summarize_text(kTexts[2])) << "others go on";
}

TEST_F(GpuSummarization, AShapeWithoutKernelsFallsBackToTheCpuUnlessAGpuIsDemanded) {
  const RandomBart model({.encoder_inner = 252});  // Of 8 there would be kernels.
  EXPECT_THAT([&] { SummarizationModelManager manager(on_a_gpu(settings(model.path(), Precision::kFp16))); },
              ThrowsMessage<Error>(AllOf(HasSubstr(model.path()), HasSubstr("no kernels for this model on GPUs"),
                                         HasSubstr("encoder_ffn_dim: expected a multiple of 8, found 252"))));
  Settings automatic = settings(model.path(), Precision::kAuto);
  automatic.device = "auto";
  SummarizationModelManager manager(automatic);
  EXPECT_EQ(manager.acquire()->metadata().device, "cpu");
  EXPECT_EQ(manager.get_pool_stats().fallbacks, 1u);
  EXPECT_EQ(taken(), 0u);

  automatic.fallback = Fallback::kRequire;
  SummarizationModelManager requiring(automatic);
  try {
    requiring.acquire();
    ADD_FAILURE() << "there are no kernels";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("fallback is require"), HasSubstr("found 252")));
  }
}

// The reason stays what it is, whatever becomes of the GPUs' memory.
TEST_F(GpuSummarization, AShapeWithoutKernelsIsSaidOnceOfAManagerAndCountedEachTime) {
  gpus_.count = 2;
  gpus_.gpus[1] = gpus_.gpus[0];
  const RandomBart model({.encoder_inner = 252});
  Settings automatic = settings(model.path(), Precision::kAuto, 2);
  automatic.device = "auto";
  constexpr const char* kSaid = "encoder_ffn_dim: expected a multiple of 8, found 252";
  const LoggedLines logged;
  for (int managers = 1; managers <= 2; ++managers) {
    SummarizationModelManager manager(automatic);
    for (int i = 0; i < 3; ++i) {
      {
        const Lease<SummarizationInstance> first = manager.acquire();
        const Lease<SummarizationInstance> second = manager.acquire();
        EXPECT_EQ(second->metadata().device, "cpu");
      }
      manager.cleanup();
      take_described(backend_, 0, static_cast<uint64_t>(i + 1) * kMiB);
    }
    EXPECT_EQ(manager.get_pool_stats().fallbacks, 6u);
    EXPECT_EQ(logged.count(kSaid), managers);
    EXPECT_EQ(std::ssize(logged.all()), managers);
  }
}

TEST_F(GpuSummarization, TheBenchmarkMeasuresThere) {
  const RandomBart model(kTiny);
  SummarizationModelManager manager(on_a_gpu(settings(model.path(), Precision::kFp16)));
  const SummarizationBenchmark report = benchmark_summarization(
      manager, {.documents = 2, .input_tokens = 8, .output_tokens = 4, .num_beams = 2, .seconds = 0});
  EXPECT_GT(report.encode_tokens_per_s, 0);
  EXPECT_GT(report.step_ms, 0);
}

}  // namespace
}  // namespace remuda
