#include "nn/relative_bias.h"

#include <gtest/gtest.h>

#include <vector>

namespace remuda::nn {
namespace {

// MPNet's 32 buckets: 16 for each direction, of which 8 are exact and 8 divide the distances up to 128 by equal
// ratios. The first distance of each, worked out by hand: 8 * 16^(i / 8).
TEST(RelativeBucket, IsExactNearAndLogarithmicFurtherOff) {
  const std::vector<int64_t> first = {0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91};
  for (size_t bucket = 0; bucket < first.size(); ++bucket) {
    const int64_t end = bucket + 1 < first.size() ? first[bucket + 1] : 1000;
    for (int64_t distance = first[bucket]; distance < end; ++distance) {
      EXPECT_EQ(relative_bucket(-distance, 32), bucket) << distance;
      if (distance > 0) {
        EXPECT_EQ(relative_bucket(distance, 32), bucket + 16) << distance;
      }
    }
  }
}

TEST(RelativeBucket, StaysWithinItsHalf) {
  for (const int64_t buckets : {4, 5, 8, 33, 64, 510, 511}) {
    for (int64_t distance = 1; distance < 2000; ++distance) {
      EXPECT_GE(relative_bucket(-distance, buckets), 0);
      EXPECT_LT(relative_bucket(-distance, buckets), buckets / 2);
      EXPECT_GE(relative_bucket(distance, buckets), buckets / 2);
      EXPECT_LT(relative_bucket(distance, buckets), buckets / 2 * 2);
    }
  }
}

TEST(SpreadRelativeBias, GivesEachDistanceItsBucketOfEveryHead) {
  constexpr int64_t kBuckets = 8;
  constexpr int64_t kHeads = 3;
  constexpr int64_t kMaxDistance = 150;
  FloatTensor buckets({kBuckets, kHeads});
  for (int64_t i = 0; i < kBuckets * kHeads; ++i) buckets.data()[i] = static_cast<float>(i);
  const FloatTensor bias = spread_relative_bias(buckets, kMaxDistance);
  ASSERT_EQ(bias.shape(), (Shape{kHeads, 2 * kMaxDistance + 1}));
  for (int64_t head = 0; head < kHeads; ++head) {
    for (int64_t distance = -kMaxDistance; distance <= kMaxDistance; ++distance) {
      EXPECT_EQ(bias.data()[head * (2 * kMaxDistance + 1) + distance + kMaxDistance],
                static_cast<float>(relative_bucket(distance, kBuckets) * kHeads + head));
    }
  }
}

}  // namespace
}  // namespace remuda::nn
