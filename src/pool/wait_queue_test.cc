// Whose turn it is.
#include "pool/wait_queue.h"

#include <gtest/gtest.h>

#include <deque>
#include <vector>

namespace remuda {
namespace {

class WaitQueueTest : public testing::Test {
 protected:
  Waiter& add(Priority priority) {
    Waiter& waiter = waiters_.emplace_back();
    waiter.priority = priority;
    queue_.push_back(waiter);
    return waiter;
  }

  std::deque<Waiter> waiters_;
  WaitQueue queue_;
};

TEST_F(WaitQueueTest, HigherPrioritiesFirstThenInOrder) {
  Waiter& bulk = add(Priority::kBulk);
  Waiter& normal = add(Priority::kNormal);
  Waiter& first = add(Priority::kInteractive);
  Waiter& second = add(Priority::kInteractive);
  EXPECT_EQ(queue_.size(), 4);
  for (Waiter* expected : {&first, &second, &normal, &bulk}) {
    EXPECT_TRUE(expected->queued);
    EXPECT_EQ(&queue_.pop(), expected);
    EXPECT_FALSE(expected->queued);
  }
  EXPECT_TRUE(queue_.empty());
}

TEST_F(WaitQueueTest, OneThatComesBackGoesBeforeThoseOfItsPriority) {
  add(Priority::kNormal);
  Waiter& back = waiters_.emplace_back();
  queue_.push_front(back);
  Waiter& urgent = add(Priority::kInteractive);
  EXPECT_EQ(&queue_.pop(), &urgent);
  EXPECT_EQ(&queue_.pop(), &back);
}

TEST_F(WaitQueueTest, AnErasedWaiterIsPassedOver) {
  Waiter& a = add(Priority::kNormal);
  Waiter& b = add(Priority::kNormal);
  queue_.erase(a);
  EXPECT_EQ(queue_.size(), 1);
  EXPECT_EQ(&queue_.pop(), &b);
}

// With an endless stream of the two higher ones.
TEST_F(WaitQueueTest, TheBulkOfAStreamIsServedAfterTheBound) {
  for (int64_t place = 0; place < 3; ++place) {
    const Waiter& bulk = add(Priority::kBulk);
    for (int64_t i = 0; i < place; ++i) add(Priority::kBulk);
    int64_t turns = 1;
    for (;; ++turns) {
      add(Priority::kInteractive);
      add(Priority::kNormal);
      if (&queue_.pop() == &bulk) break;
      ASSERT_LE(turns, 1000) << "starved";
    }
    EXPECT_LE(turns, kMostOvertakings + 2);
    EXPECT_GT(turns, kMostOvertakings - 2 * place);
    while (!queue_.empty()) queue_.pop();
  }
}

TEST_F(WaitQueueTest, EveryWaiterOfEveryPriorityIsServedWithinTheBound) {
  constexpr int kInEach = 5;
  std::vector<std::pair<const Waiter*, int64_t>> bounds;
  for (const Priority priority : {Priority::kNormal, Priority::kBulk}) {
    for (int64_t before = 0; before < kInEach; ++before) {
      bounds.emplace_back(&add(priority), (before + 1) * (kMostOvertakings + 2));
    }
  }
  size_t served = 0;
  for (int64_t turn = 1; served < bounds.size(); ++turn) {
    ASSERT_LE(turn, 1000) << "starved";
    add(Priority::kInteractive);
    const Waiter* next = &queue_.pop();
    for (const auto& [waiter, bound] : bounds) {
      if (waiter != next) continue;
      ++served;
      EXPECT_LE(turn, bound);
    }
  }
}

// Overtakings are of those who wait: a class that was empty meanwhile has no claim.
TEST_F(WaitQueueTest, AClaimEndsWithTheLastThatHadIt) {
  Waiter& bulk = add(Priority::kBulk);
  for (int64_t i = 0; i < kMostOvertakings; ++i) {
    add(Priority::kInteractive);
    queue_.pop();
  }
  queue_.erase(bulk);
  add(Priority::kBulk);
  Waiter& urgent = add(Priority::kInteractive);
  EXPECT_EQ(&queue_.pop(), &urgent);
}

}  // namespace
}  // namespace remuda
