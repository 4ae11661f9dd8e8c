#include "nn/pooling.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace remuda::nn {
namespace {

// Three tokens of size 2.
const std::vector<float> kTokens = {1, -2, 3, 4, -5, 6};

std::vector<float> pool(Pooling mode, int64_t skipped = 0) {
  std::vector<float> out(2, 99.0f);
  pool_sequence(mode, {kTokens.data(), 3, 2}, skipped, out);
  return out;
}

using Floats = std::vector<float>;

TEST(Pooling, EachModeOfAllTokens) {
  EXPECT_EQ(pool(Pooling::kCls), (Floats{1, -2}));
  EXPECT_EQ(pool(Pooling::kLastToken), (Floats{-5, 6}));
  EXPECT_EQ(pool(Pooling::kMax), (Floats{3, 6}));
  EXPECT_EQ(pool(Pooling::kMean), (Floats{-1.0f / 3.0f, 8.0f / 3.0f}));
  EXPECT_EQ(pool(Pooling::kMeanSqrtLen), (Floats{-1.0f / std::sqrt(3.0f), 8.0f / std::sqrt(3.0f)}));
  EXPECT_EQ(pool(Pooling::kWeightedMean), (Floats{(1.0f + 6.0f - 15.0f) / 6.0f, (-2.0f + 8.0f + 18.0f) / 6.0f}));
}

TEST(Pooling, SkippedTokensCountForNothing) {
  EXPECT_EQ(pool(Pooling::kCls, 1), (Floats{3, 4}));
  EXPECT_EQ(pool(Pooling::kLastToken, 1), (Floats{-5, 6}));
  EXPECT_EQ(pool(Pooling::kMax, 2), (Floats{-5, 6}));
  EXPECT_EQ(pool(Pooling::kMean, 1), (Floats{-1, 5}));
  EXPECT_EQ(pool(Pooling::kWeightedMean, 1), (Floats{(6.0f - 15.0f) / 5.0f, (8.0f + 18.0f) / 5.0f}));
}

TEST(Pooling, NothingLeft) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(pool(Pooling::kCls, 3), (Floats{1, -2}));
  EXPECT_EQ(pool(Pooling::kLastToken, 3), (Floats{0, 0}));
  EXPECT_EQ(pool(Pooling::kMax, 4), (Floats{-kInfinity, -kInfinity}));
  EXPECT_EQ(pool(Pooling::kMean, 3), (Floats{0, 0}));
}

TEST(Normalize, ToUnitLengthAndZeroStaysZero) {
  Floats x = {3, 4};
  normalize(x);
  EXPECT_EQ(x, (Floats{0.6f, 0.8f}));
  Floats zero = {0, 0};
  normalize(zero);
  EXPECT_EQ(zero, (Floats{0, 0}));
}

}  // namespace
}  // namespace remuda::nn
