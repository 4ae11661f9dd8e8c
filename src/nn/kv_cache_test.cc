#include "nn/kv_cache.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "remuda/error.h"

namespace remuda::nn {
namespace {

constexpr KvCacheShape kShape = {.layers = 3, .width = 5, .max_rows = 4, .max_positions = 40};

// The key of a sequence's token in a layer: what identifies it; the value is its negative.
float key_of(int64_t layer, int32_t token, int64_t i) { return static_cast<float>(1000 * token + 10 * layer + i); }

// Sequences that fork, swap and drop out at random, beside a plain copy of each one's history.
TEST(KvCache, EverySequenceKeepsItsOwnHistory) {
  WorkspaceArena arena;
  KvCache cache(kShape, arena);
  std::mt19937 random(1);
  std::vector<std::vector<int32_t>> histories(1);
  for (int64_t t = 0; t < kShape.max_positions; ++t) {
    std::vector<int32_t> parents;
    std::vector<std::vector<int32_t>> next;
    for (size_t count = 1 + random() % 4; parents.size() < count;) {
      const auto parent = static_cast<int32_t>(random() % histories.size());
      parents.push_back(t == 0 ? -1 : parent);
      next.push_back(histories[static_cast<size_t>(parent)]);
      next.back().push_back(static_cast<int32_t>(random() % 1000));
    }
    histories = next;
    cache.advance(parents);
    const auto rows = static_cast<int64_t>(parents.size());
    ASSERT_EQ(cache.length(), t + 1);
    ASSERT_EQ(cache.rows(), rows);
    for (int64_t layer = 0; layer < kShape.layers; ++layer) {
      FloatTensor keys({rows, kShape.width}), values({rows, kShape.width});
      for (int64_t i = 0; i < keys.size(); ++i) {
        keys.data()[i] = key_of(layer, histories[static_cast<size_t>(i / kShape.width)].back(), i % kShape.width);
        values.data()[i] = -keys.data()[i];
      }
      cache.append(layer, {keys.data(), rows, kShape.width}, {values.data(), rows, kShape.width});
    }
    for (int64_t layer = 0; layer < kShape.layers; ++layer) {
      for (int64_t row = 0; row < rows; ++row) {
        const kernels::CachedSequence sequence = cache.sequence(layer, row);
        ASSERT_EQ(sequence.length, t + 1);
        for (int64_t s = 0; s <= t; ++s) {
          const int64_t at = sequence.table[s] * kShape.width;
          for (int64_t i = 0; i < kShape.width; ++i) {
            const float key = key_of(layer, histories[static_cast<size_t>(row)][static_cast<size_t>(s)], i);
            ASSERT_EQ(reinterpret_cast<const float*>(sequence.keys)[at + i], key);
            ASSERT_EQ(reinterpret_cast<const float*>(sequence.values)[at + i], -key);
          }
        }
      }
    }
  }
}

TEST(KvCache, RefusesWhatDoesNotFit) {
  WorkspaceArena arena;
  KvCache cache({.layers = 1, .width = 2, .max_rows = 2, .max_positions = 2}, arena);
  const auto refused = [&](std::vector<int32_t> parents) {
    try {
      cache.advance(parents);
      return false;
    } catch (const Error& error) {
      return error.code() == ErrorCode::kInvalidArgument;
    }
  };
  EXPECT_TRUE(refused({0}));
  EXPECT_TRUE(refused({}));
  EXPECT_TRUE(refused({-1, -1, -1}));
  EXPECT_FALSE(refused({-1}));
  EXPECT_TRUE(refused({-1}));
  EXPECT_TRUE(refused({1})) << "there is one sequence";
  EXPECT_EQ(cache.length(), 1);
  EXPECT_FALSE(refused({0, 0}));
  EXPECT_TRUE(refused({0})) << "no room for a third position";
}

TEST(KvCache, TakesTheMemoryItSays) {
  // Keys and values, and two tables.
  const size_t fp32 = KvCache::bytes_for({.layers = 12, .width = 1024, .max_rows = 4, .max_positions = 142});
  EXPECT_EQ(fp32, size_t{2 * 12 * 1024 * 4 * 142 * 4} + 2 * 2304);
  const size_t bf16 = KvCache::bytes_for(
      {.layers = 12, .width = 1024, .max_rows = 4, .max_positions = 142, .stored = kernels::StoredAs::kBf16});
  EXPECT_EQ(bf16, size_t{2 * 12 * 1024 * 4 * 142 * 2} + 2 * 2304);
}

}  // namespace
}  // namespace remuda::nn
