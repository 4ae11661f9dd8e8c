#include "base/large_vector.h"

#include <gtest/gtest.h>

#include <memory>
#include <numeric>

namespace remuda {
namespace {

TEST(LargeVector, KeepsItsElementsWhenItsMemoryBecomesPagesAndBack) {
  LargeVector<int64_t> numbers;
  constexpr int64_t kMany = 3 * static_cast<int64_t>(kLeastMappedBytes / sizeof(int64_t));
  for (int64_t i = 0; i < kMany; ++i) numbers.push_back(i);
  EXPECT_EQ(std::accumulate(numbers.begin(), numbers.end(), int64_t{0}), kMany * (kMany - 1) / 2);
  numbers.resize(100);
  numbers.shrink_to_fit();
  EXPECT_EQ(numbers.capacity(), 100u);
  EXPECT_EQ(numbers.back(), 99);
}

TEST(LargeVector, ElementsHaveTheirDestructorsCalled) {
  const auto counted = std::make_shared<int>(0);
  {
    const LargeVector<std::shared_ptr<int>> all(10000, counted);
    EXPECT_EQ(counted.use_count(), 10001);
  }
  EXPECT_EQ(counted.use_count(), 1);
}

TEST(LargeVector, WhatCanNotBeHadIsAnException) {
  PageAllocator<int64_t> allocator;
  EXPECT_THROW((void)allocator.allocate(SIZE_MAX / 2), std::bad_array_new_length);
  EXPECT_THROW((void)allocator.allocate(SIZE_MAX / sizeof(int64_t)), std::bad_alloc);
}

TEST(LargeVector, AStringGrowsOverTheBound) {
  LargeString text;
  for (int i = 0; i < 30000; ++i) text += "horse ";
  EXPECT_EQ(text.size(), 180000u);
  EXPECT_TRUE(text.ends_with("horse horse "));
}

}  // namespace
}  // namespace remuda
