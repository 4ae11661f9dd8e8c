// Limits from too little to plenty: one that is above one that is enough is enough, and what fails fails at once.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <vector>

#include "base/sanitizer_test_support.h"
#include "base/scratch_directory.h"
#include "device/memory_budget.h"
#include "manager/random_bart.h"
#include "manager/random_encoder.h"
#include "remuda/embedding_model_manager.h"
#include "remuda/error.h"
#include "remuda/summarization_model_manager.h"

namespace remuda {
namespace {

using Clock = std::chrono::steady_clock;
using Ids = std::vector<std::vector<int32_t>>;

constexpr uint64_t kMiB = uint64_t{1} << 20;

// Less than what anybody waits for memory who gets none, and more than a busy machine takes to compute; a sanitizer
// takes longer than such a wait, and sees every fourth limit alone.
#ifdef REMUDA_SANITIZED
constexpr std::chrono::seconds kWithoutWaiting = std::chrono::seconds(240);
constexpr int kStride = 4;
#else
constexpr std::chrono::seconds kWithoutWaiting = std::chrono::seconds(8);
constexpr int kStride = 1;
#endif

std::string words(int64_t count) {
  std::string text;
  for (int64_t i = 0; i < count; ++i) text += "horse ";
  return text;
}

// Runs `compute`, whose result there is without a limit, with limits from `least` upwards.
template <typename Compute>
void sweep(const std::string& what, uint64_t least, uint64_t step, int steps, const Compute& compute) {
  const auto wanted = compute(uint64_t{1} << 40);
  std::optional<uint64_t> works;
  for (int i = (steps - 1) % kStride; i < steps; i += kStride) {
    const uint64_t limit = least + static_cast<uint64_t>(i) * step;
    const auto start = Clock::now();
    try {
      EXPECT_EQ(compute(limit), wanted) << what << " with " << limit;
      if (!works) works = limit;
    } catch (const Error& error) {
      EXPECT_FALSE(works) << what << ": " << *works << " bytes are enough, and " << limit << " not: " << error.what();
      EXPECT_EQ(error.code(), ErrorCode::kOutOfMemory) << error.what();
      EXPECT_THAT(error.what(), ::testing::HasSubstr("raise it"));
    }
    EXPECT_LT(Clock::now() - start, kWithoutWaiting) << what << " waited with " << limit;
    EXPECT_LE(MemoryBudget::cpu().stats().used, limit + kMiB) << what;
  }
  EXPECT_TRUE(works) << what << " never works";
  if (works) fmt::print("{}: works from {:.2f} MiB on\n", what, static_cast<double>(*works) / kMiB);
}

class MemorySweep : public ::testing::TestWithParam<Precision> {
 protected:
  Settings settings(uint64_t limit) const {
    Settings settings;
    settings.precision = GetParam();
    settings.cache_dir = cache_.path();
    settings.model_pool_max_instances = 2;
    settings.memory_limit = MemoryLimit{.bytes = limit, .share = std::nullopt};
    return settings;
  }
  const ScratchDirectory cache_;
};

INSTANTIATE_TEST_SUITE_P(Precisions, MemorySweep, ::testing::Values(Precision::kFp32, Precision::kInt8),
                         [](const auto& param) { return std::string(to_string(param.param)); });

// Each of its documents has two blocks of some megabytes.
class SummarySweep : public MemorySweep {
 protected:
  static constexpr int kDocuments = 6;

  SummarySweep() {
    for (int i = 0; i < kDocuments; ++i) texts_.push_back(words(300 - 13 * i));
  }

  Settings settings(uint64_t limit) const {
    Settings settings = MemorySweep::settings(limit);
    settings.summarization_model = model_.path();
    return settings;
  }
  uint64_t weights() const {
    return estimate_memory(inspect_summarization_model(model_.path()), GetParam(), 0).shared_weights;
  }
  static Ids ids_of(const std::vector<Summary>& summaries) {
    Ids ids;
    for (const Summary& summary : summaries) ids.push_back(summary.best.ids);
    return ids;
  }

  const RandomBart model_{{.encoder_layers = 1,
                           .decoder_layers = 4,
                           .hidden = 256,
                           .encoder_inner = 512,
                           .decoder_inner = 512,
                           .vocabulary = 2000,
                           .length = 12}};
  std::vector<std::string> texts_;
};

INSTANTIATE_TEST_SUITE_P(Precisions, SummarySweep, ::testing::Values(Precision::kFp32, Precision::kInt8),
                         [](const auto& param) { return std::string(to_string(param.param)); });

TEST_P(SummarySweep, OfDocumentsTogether) {
  sweep("documents together", weights(), kMiB, 28, [this](uint64_t limit) {
    SummarizationModelManager manager(settings(limit));
    return ids_of(manager.summarize(texts_));
  });
}

TEST_P(SummarySweep, OfBlocksBetweenTheirSteps) {
  sweep("documents together, limits near each other", weights() + 4 * kMiB, 300 << 10, 20, [this](uint64_t limit) {
    SummarizationModelManager manager(settings(limit));
    return ids_of(manager.summarize(texts_));
  });
}

TEST_P(SummarySweep, OfOneInstanceAfterTheOther) {
  sweep("several calls", weights(), 2 * kMiB, 12, [this](uint64_t limit) {
    SummarizationModelManager manager(settings(limit));
    Ids ids;
    // Blocks of other sizes are idle when a call begins.
    for (const size_t first : {4, 0, 2}) {
      const auto part = ids_of(manager.summarize(std::span(texts_).subspan(first, 2)));
      ids.insert(ids.end(), part.begin(), part.end());
    }
    return ids;
  });
}

TEST_P(SummarySweep, OfInstancesThatComputeAtOnce) {
  sweep("two instances at once", weights(), 2 * kMiB, 12, [this](uint64_t limit) {
    SummarizationModelManager manager(settings(limit));
    std::optional one(manager.acquire());
    std::vector<Ids> found(2);
    std::vector<std::exception_ptr> failed(2);
    {
      std::jthread other([&] {
        try {
          // There may be no room for another instance: then this one waits until there is.
          found[1] = ids_of(manager.summarize(texts_));
        } catch (...) {
          failed[1] = std::current_exception();
        }
      });
      try {
        found[0] = ids_of(manager.summarize(texts_, **one));
        found[0] = ids_of(manager.summarize(texts_, **one));
      } catch (...) {
        failed[0] = std::current_exception();
      }
      one.reset();  // The other may wait for it.
    }
    for (const std::exception_ptr& error : failed) {
      if (error != nullptr) std::rethrow_exception(error);
    }
    return found;
  });
}

TEST_P(SummarySweep, OfJoinedCalls) {
  sweep("joined calls", weights(), 2 * kMiB, 12, [this](uint64_t limit) {
    SummarizationModelManager manager(settings(limit));
    std::vector<std::future<std::vector<Summary>>> calls;
    for (const std::string& text : texts_) calls.push_back(manager.submit({text, text}));
    Ids ids;
    std::exception_ptr failed;
    for (auto& call : calls) {
      try {
        for (const auto& each : ids_of(call.get())) ids.push_back(each);
      } catch (...) {
        failed = std::current_exception();
      }
    }
    if (failed != nullptr) std::rethrow_exception(failed);
    return ids;
  });
}

TEST_P(SummarySweep, WhatInspectionSaysIsEnoughForADocument) {
  const SummarizationModelInfo info = inspect_summarization_model(model_.path());
  SummarizationModelManager(settings(uint64_t{1} << 40)).warm_up();  // Packs the weights.
  const MemoryCost cost = estimate_memory(info, GetParam());
  SummarizationModelManager manager(settings(cost.shared_weights + cost.document));
  const std::vector<std::string> texts(3, words(info.window));
  EXPECT_NO_THROW(manager.summarize(texts));
}

TEST_P(SummarySweep, ADocumentThatCanNeverFitIsRefusedAtOnceWithFiguresAndAdvice) {
  SummarizationModelManager manager(settings(weights() + 12 * kMiB));
  const auto start = Clock::now();
  EXPECT_THAT([&] { manager.summarize_text(texts_[0], {.generation = {.num_beams = 400}}); },
              ::testing::ThrowsMessage<OutOfMemory>(::testing::AllOf(::testing::HasSubstr("the memory limit leaves"),
                                                                     ::testing::HasSubstr("num_beams"))));
  EXPECT_LT(Clock::now() - start, kWithoutWaiting);
  EXPECT_NO_THROW(manager.summarize_text(texts_[0]));
}

TEST_P(MemorySweep, OfEmbeddings) {
  const RandomEncoder model({.layers = 2, .hidden = 256, .inner = 1024});
  const std::vector<std::string> texts(60, words(120));
  const uint64_t weights = estimate_memory(inspect_embedding_model(model.path()), GetParam()).shared_weights;
  for (const std::optional<int64_t> tokens : {std::optional<int64_t>(), std::optional<int64_t>(40000)}) {
    sweep(fmt::format("embeddings of {} tokens", tokens.value_or(0)), weights, kMiB, 24, [&](uint64_t limit) {
      Settings limited = settings(limit);
      limited.embedding_model = model.path();
      EmbeddingModelManager manager(limited);
      return manager.embed_texts(texts, EmbedOptions{.max_batch_tokens = tokens}).values;
    });
  }
}

// One that embeds shares what another, which summarises, leaves.
TEST_P(SummarySweep, OfTwoModelsAtOnce) {
  const RandomEncoder encoder({.layers = 2, .hidden = 256, .inner = 1024});
  const std::vector<std::string> embedded(60, words(120));
  sweep("two models", 2 * weights() + 10 * kMiB, 3 * kMiB, 8, [&](uint64_t limit) {
    Settings both = settings(limit);
    both.embedding_model = encoder.path();
    SummarizationModelManager summarizer(both);
    EmbeddingModelManager embedder(both);
    Embeddings vectors;
    std::exception_ptr failed;
    Ids ids;
    {
      std::jthread other([&] {
        try {
          vectors = embedder.embed_texts(embedded);
        } catch (...) {
          failed = std::current_exception();
        }
      });
      ids = ids_of(summarizer.summarize(texts_));
    }
    if (failed != nullptr) std::rethrow_exception(failed);
    return std::pair(ids, vectors.values);
  });
}

}  // namespace
}  // namespace remuda
