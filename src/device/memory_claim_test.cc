#include "device/memory_claim.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "remuda/error.h"

namespace remuda {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;
using Clock = MemoryBudget::Clock;

constexpr uint64_t kMiB = uint64_t{1} << 20;

std::optional<uint64_t> unknown() { return std::nullopt; }

class MemoryClaimTest : public ::testing::Test {
 protected:
  MemoryBudget budget_{"test", unknown};
  MemoryBudget::Limit limit_ = budget_.limit_to(100 * kMiB);
};

TEST_F(MemoryClaimTest, IsKeptFreeForTheOneThatHasIt) {
  MemoryClaim claim(&budget_);
  ASSERT_TRUE(claim.try_set(60 * kMiB));
  EXPECT_EQ(budget_.stats().used, 0u) << "nothing is taken yet";
  EXPECT_EQ(claim.attainable(), 100 * kMiB);
  MemoryClaim other(&budget_);
  EXPECT_FALSE(other.try_set(41 * kMiB));
  EXPECT_TRUE(other.try_set(40 * kMiB));
  EXPECT_FALSE(claim.try_set(61 * kMiB));
  EXPECT_EQ(claim.bytes(), 60 * kMiB);
  const MemoryWait wait(Deadline::after(Clock::duration(10ms)));
  EXPECT_THROW(budget_.reserve({.bytes = kMiB}), Error);
  EXPECT_THROW(budget_.reserve({.bytes = kMiB, .use = MemoryUse::kWeights, .what = "a model"}), Error);
  const Reservation taken = budget_.reserve({.bytes = 60 * kMiB, .claimed = true});
  EXPECT_EQ(budget_.stats().used, 60 * kMiB);
  EXPECT_FALSE(other.try_set(41 * kMiB));
  EXPECT_TRUE(claim.try_set(50 * kMiB));
  EXPECT_TRUE(other.try_set(50 * kMiB));
}

TEST_F(MemoryClaimTest, WhatIsKeptForTheNextGoesBeforeTheLimitIsExceeded) {
  Reservation kept = budget_.reserve({.bytes = 30 * kMiB, .claimed = true});
  budget_.add_cache([&kept] { kept.release(); });
  MemoryClaim claim(&budget_);
  ASSERT_TRUE(claim.try_set(100 * kMiB)) << "what is kept is nobody's";
  const Reservation most = budget_.reserve({.bytes = 70 * kMiB, .claimed = true});
  EXPECT_EQ(kept.bytes(), 30 * kMiB);
  const Reservation rest = budget_.reserve({.bytes = 30 * kMiB, .claimed = true});
  EXPECT_EQ(kept.bytes(), 0u);
  EXPECT_EQ(budget_.stats().used, 100 * kMiB);
}

TEST_F(MemoryClaimTest, WhatCanNeverFitBesideItsWeightsIsRefusedAtOnce) {
  const Reservation weights = budget_.reserve({.bytes = 70 * kMiB, .use = MemoryUse::kWeights, .what = "m"});
  MemoryClaim claim(&budget_);
  const auto start = Clock::now();
  EXPECT_THAT([&] { claim.wait_for({.bytes = 31 * kMiB, .weights = 70 * kMiB, .what = "a document"}); },
              ThrowsMessage<OutOfMemory>(AllOf(HasSubstr("a document: needs 32505856 bytes of workspace"),
                                               HasSubstr("104857600 bytes (memory_limit)"), HasSubstr("raise it"))));
  EXPECT_LT(Clock::now() - start, 5s);
  EXPECT_EQ(budget_.stats().waiting, 0);
  EXPECT_NO_THROW(claim.wait_for({.bytes = 30 * kMiB, .weights = 70 * kMiB, .what = "a document"}));
}

TEST_F(MemoryClaimTest, WhoWaitsIsServedBeforeOthersGrow) {
  MemoryClaim running(&budget_), waiting(&budget_);
  ASSERT_TRUE(running.try_set(80 * kMiB));
  EXPECT_FALSE(waiting.wait_for({.bytes = 50 * kMiB, .what = "a document"}, 10ms));
  std::jthread thread([&] { waiting.wait_for({.bytes = 50 * kMiB, .what = "a document"}); });
  while (budget_.stats().waiting == 0) std::this_thread::yield();
  EXPECT_FALSE(running.try_set(81 * kMiB)) << "there would be room";
  EXPECT_EQ(running.attainable(), 80 * kMiB);
  running.try_set(50 * kMiB);
  thread.join();
  EXPECT_EQ(waiting.bytes(), 50 * kMiB);
  waiting.try_set(0);
  EXPECT_TRUE(running.try_set(100 * kMiB));
}

TEST_F(MemoryClaimTest, OneThatIsNotThereToWaitHoldsNobodyUp) {
  MemoryClaim running(&budget_), away(&budget_);
  ASSERT_TRUE(running.try_set(80 * kMiB));
  EXPECT_FALSE(away.wait_for({.bytes = 50 * kMiB, .what = "a document"}, 1ms));
  EXPECT_TRUE(running.try_set(81 * kMiB));
  away.give_up_waiting();
  EXPECT_EQ(budget_.stats().waiting, 0);
}

TEST_F(MemoryClaimTest, TheWaitEndsAtTheCallersDeadline) {
  MemoryClaim running(&budget_), waiting(&budget_);
  ASSERT_TRUE(running.try_set(80 * kMiB));
  const MemoryWait wait(Deadline::after(Clock::duration(30ms)));
  EXPECT_THROW(waiting.wait_for({.bytes = 50 * kMiB, .what = "a document"}), TimeoutError);
  EXPECT_TRUE(running.try_set(90 * kMiB)) << "nobody waits any more";
}

// Each grows as far as there is room, and gives all of it back; one with nothing waits.
TEST_F(MemoryClaimTest, ManyThreadsAllComeToAnEnd) {
  constexpr int kThreads = 8;
  std::atomic<bool> over = false;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<unsigned>(t));
      for (int i = 0; i < 200; ++i) {
        MemoryClaim claim(&budget_);
        claim.wait_for({.bytes = (1 + random() % 60) * kMiB, .what = "a document"});
        std::vector<Reservation> taken;
        taken.push_back(budget_.reserve({.bytes = claim.bytes(), .claimed = true}));
        for (int more = 0; more < 3; ++more) {
          const uint64_t bytes = (1 + random() % 20) * kMiB;
          if (!claim.try_set(claim.bytes() + bytes)) continue;
          taken.push_back(budget_.reserve({.bytes = bytes, .claimed = true}));
        }
        if (budget_.stats().used > 100 * kMiB) over = true;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_FALSE(over);
  EXPECT_EQ(budget_.stats().used, 0u);
  EXPECT_EQ(budget_.stats().waiting, 0);
  EXPECT_LE(budget_.stats().peak, 100 * kMiB);
}

TEST(MemoryClaim, WithoutABudgetWhateverIsClaimedIsHad) {
  MemoryClaim claim(nullptr);
  EXPECT_TRUE(claim.try_set(uint64_t{1} << 60));
  EXPECT_EQ(claim.attainable(), UINT64_MAX);
  claim.try_set(0);
  claim.wait_for({.bytes = 5});
  EXPECT_EQ(claim.bytes(), 5u);
}

}  // namespace
}  // namespace remuda
