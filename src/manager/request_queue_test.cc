#include "manager/request_queue.h"

#include <gtest/gtest.h>

#include <string>

namespace remuda {
namespace {

// So many parts, which somebody takes one by one.
class Parts : public BatchRequest {
 public:
  Parts(std::string name, int count, Priority priority)
      : BatchRequest({.what = std::move(name), .priority = priority}), left_(count) {}
  bool has_waiting() const override { return left_ > 0; }
  void take() { --left_; }

 private:
  int left_;
};

class RequestQueueTest : public ::testing::Test {
 protected:
  std::shared_ptr<Parts> push(const std::string& name, int parts, Priority priority = Priority::kNormal) {
    auto request = std::make_shared<Parts>(name, parts, priority);
    queue_.push(request);
    return request;
  }

  // The names of the next requests to be served, a part each, in one batch or a batch each.
  std::string serve(int parts, bool in_one_batch = true) {
    std::string names;
    for (int i = 0; i < parts; ++i) {
      if (i == 0 || !in_one_batch) queue_.begin_batch();
      const RequestQueue::Pointer front = queue_.front();
      if (front == nullptr) break;
      names += front->options().what;
      static_cast<Parts&>(*front).take();
      queue_.served();
    }
    return names;
  }

  RequestQueue queue_;
};

TEST_F(RequestQueueTest, HighestPriorityFirstAndFirstComeFirstServedWithinIt) {
  push("b", 1, Priority::kBulk);
  push("n", 1);
  push("m", 1);
  push("i", 1, Priority::kInteractive);
  push("j", 1, Priority::kInteractive);
  EXPECT_EQ(queue_.size(), 5);
  EXPECT_EQ(serve(10), "ijnmb");
  EXPECT_TRUE(queue_.empty());
}

TEST_F(RequestQueueTest, OneWithManyPartsGoesBehindTheOthersAfterEach) {
  push("a", 4);
  push("b", 1);
  push("c", 2);
  EXPECT_EQ(serve(10), "abcacaa");
}

TEST_F(RequestQueueTest, WhoHasWaitedLongestBeginsEveryEighthBatch) {
  push("b", 2, Priority::kBulk);
  push("i", 100, Priority::kInteractive);
  EXPECT_EQ(serve(16, /*in_one_batch=*/false).substr(0, 8), "iiiiiiib");
}

TEST_F(RequestQueueTest, WhatIsRemovedIsNotServed) {
  const auto a = push("a", 3);
  const auto b = push("b", 1);
  push("c", 1);
  EXPECT_EQ(serve(1), "a");
  queue_.remove(*a);
  queue_.remove(*b);
  queue_.remove(*b);
  EXPECT_EQ(serve(10), "c");
}

}  // namespace
}  // namespace remuda
