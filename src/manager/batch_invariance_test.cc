// The same text gives the same bytes: alone, in any batch, in any order, with any number of threads, on any
// instance, in each precision. Real weights, real texts.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "hub/resolve.h"
#include "manager/embedding_batch.h"
#include "remuda/embedding_model_manager.h"

namespace remuda {
namespace {

const std::vector<std::string>& texts() {
  static const std::vector<std::string> made = [] {
    const std::vector<std::string> words = {"remuda", "horses",  "lease", "the",   "model", "under",   "pressure",
                                            "ключ",   "東京",    "café",  "12,50", "naïve", "running", "instances",
                                            "memory", "latency", "whose", "and",   "a",     "quickly", "Zürich"};
    std::mt19937 random(7);
    std::vector<std::string> lines = {"", "a", "Hello, world!"};
    for (const int length : {2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 17, 30, 31, 33, 60, 64, 90, 150, 251, 300, 400}) {
      std::string line;
      for (int i = 0; i < length; ++i) line += words[random() % words.size()] + ' ';
      lines.push_back(line);
    }
    return lines;
  }();
  return made;
}

Embeddings embed(const EmbeddingModel& model, const std::vector<std::string>& lines, int64_t max_batch_tokens,
                 ComputePool& pool) {
  EmbedOptions options;
  options.max_batch_tokens = max_batch_tokens;
  return embed_tokenized(
      model, tokenize_texts(*model.tokenizer, lines, {"", 256, model.encoder->vocab_size()}, pool), options,
      [] { return int64_t{512}; }, pool);
}

void expect_same_bytes(std::span<const float> found, std::span<const float> expected, const std::string& what) {
  ASSERT_EQ(found.size(), expected.size());
  EXPECT_EQ(std::memcmp(found.data(), expected.data(), found.size_bytes()), 0) << what;
}

class BatchInvariance : public testing::TestWithParam<Precision> {};

TEST_P(BatchInvariance, AloneInAnyBatchInAnyOrderWithAnyNumberOfThreads) {
  const auto directory = io::read_model_directory(hub::resolve_model(hub::kDefaultEmbeddingModel));
  ComputePool one_thread(1);
  ComputePool three_threads(3);
  const EmbeddingModel model(directory, "cpu", GetParam(), one_thread);
  const EmbeddingModel packed_by_three(directory, "cpu", GetParam(), three_threads);

  const Embeddings expected = embed(model, texts(), 512, one_thread);
  for (const int64_t max_batch_tokens : {1, 100, 1000, 100000}) {
    const Embeddings found = embed(packed_by_three, texts(), max_batch_tokens, three_threads);
    expect_same_bytes(found.values, expected.values, "batches of " + std::to_string(max_batch_tokens));
  }
  for (size_t i = 0; i < texts().size(); ++i) {
    const Embeddings alone = embed(model, {texts()[i]}, 512, i % 2 == 0 ? one_thread : three_threads);
    expect_same_bytes(alone.values, expected.row(static_cast<int64_t>(i)), texts()[i]);
  }
  std::vector<size_t> order(texts().size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::shuffle(order.begin(), order.end(), std::mt19937(3));
  std::vector<std::string> shuffled;
  for (const size_t i : order) shuffled.push_back(texts()[i]);
  const Embeddings found = embed(model, shuffled, 300, three_threads);
  for (size_t i = 0; i < order.size(); ++i) {
    expect_same_bytes(found.row(static_cast<int64_t>(i)), expected.row(static_cast<int64_t>(order[i])), shuffled[i]);
  }
}

TEST_P(BatchInvariance, OnAnyInstanceWhileOthersCompute) {
  Settings settings;
  settings.precision = GetParam();
  settings.model_pool_max_instances = 3;
  EmbeddingModelManager manager(settings);
  const Embeddings expected = manager.embed_texts(texts());
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      std::vector<std::string> mine(texts().begin() + t, texts().end());
      const Embeddings found = manager.embed_texts(mine, {.max_batch_tokens = 64 << t});
      for (size_t i = 0; i < mine.size(); ++i) {
        expect_same_bytes(found.row(static_cast<int64_t>(i)), expected.row(static_cast<int64_t>(i) + t), mine[i]);
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

INSTANTIATE_TEST_SUITE_P(Precisions, BatchInvariance,
                         testing::Values(Precision::kFp32, Precision::kBf16, Precision::kInt8),
                         [](const auto& test) { return std::string(to_string(test.param)); });

}  // namespace
}  // namespace remuda
