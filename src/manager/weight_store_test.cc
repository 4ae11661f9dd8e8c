#include "manager/weight_store.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <stdexcept>
#include <thread>
#include <vector>

namespace remuda {
namespace {

using namespace std::chrono_literals;

constexpr size_t kBytes = size_t{1} << 20;

struct Model {
  int value;

  size_t bytes() const { return kBytes; }
  size_t mapped_bytes() const { return kBytes / 4; }
};
using Store = WeightStore<Model>;

class WeightStoreTest : public ::testing::Test {
 protected:
  WeightRequest request(const std::string& key) {
    return {.key = key, .what = key, .cost = {.shared_weights = kBytes}, .budget = &budget_};
  }
  Store::Pointer load(const std::string& key) {
    return store_.get(request(key), nullptr, [this] { return std::make_shared<const Model>(Model{++loads_}); });
  }

  MemoryBudget budget_{"test", [] { return std::nullopt; }};
  Store store_;
  std::atomic<int> loads_ = 0;
};

TEST_F(WeightStoreTest, OneCopyWhileAnyoneUsesIt) {
  const auto first = load("a");
  const auto second = load("a");
  EXPECT_EQ(first, second);
  EXPECT_NE(load("b"), first);
  EXPECT_EQ(loads_, 2);
}

TEST_F(WeightStoreTest, KeepsNothingAlive) {
  const std::weak_ptr<const Model> watch = load("a");
  EXPECT_TRUE(watch.expired());
  EXPECT_EQ(load("a")->value, 2);
}

TEST_F(WeightStoreTest, CountsWhatIsThere) {
  {
    const auto model = load("a");
    EXPECT_EQ(budget_.stats().weights, kBytes * 3 / 4);
    EXPECT_EQ(budget_.stats().mapped_weights, kBytes / 4);
    EXPECT_EQ(budget_.stats().loads, 1u);
    EXPECT_EQ(budget_.stats().models, 1);
  }
  EXPECT_EQ(budget_.stats().used, 0u);
  EXPECT_EQ(budget_.stats().models, 0);
}

TEST_F(WeightStoreTest, WhatHasNoRoomIsNotLoaded) {
  const auto limit = budget_.limit_to(kBytes - 1);
  EXPECT_THROW(load("a"), OutOfMemory);
  EXPECT_EQ(loads_, 0);
  const auto load_fails = [this] {
    store_.get(request("a"), nullptr, []() -> Store::Pointer { throw std::runtime_error("no such weights"); });
  };
  EXPECT_THROW(load_fails(), OutOfMemory);
  EXPECT_EQ(budget_.stats().used, 0u);
}

TEST_F(WeightStoreTest, ManyThreadsLoadOnce) {
  constexpr int kThreads = 8;
  std::latch all_here(kThreads);
  std::vector<Store::Pointer> models(kThreads);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      all_here.arrive_and_wait();
      models[i] = load("a");
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(loads_, 1);
  for (const auto& model : models) EXPECT_EQ(model, models[0]);
}

// The first to ask runs out of time waiting for memory; who has more goes on.
TEST_F(WeightStoreTest, TheTimeOfOneIsNotTheTimeOfOthers) {
  const auto limit = budget_.limit_to(kBytes + kBytes / 2);
  Reservation taken = budget_.reserve({.bytes = kBytes});
  std::thread hasty([&] {
    const MemoryWait wait(Deadline::after(MemoryBudget::Clock::duration(50ms)));
    EXPECT_THROW(load("a"), TimeoutError);
  });
  while (budget_.stats().waiting == 0) std::this_thread::yield();
  std::thread patient([&] { EXPECT_EQ(load("a")->value, 1); });
  hasty.join();
  EXPECT_EQ(loads_, 0);
  taken.release();
  patient.join();
}

// Who holds a model that has to make room keeps it; nobody else gets it before it has gone and come again.
TEST_F(WeightStoreTest, AModelThatIsLeavingIsGivenToNobody) {
  auto held = load("a");
  const auto residency = Residency::all().back();
  residency->drain(MemoryBudget::Clock::now() + 30s);
  {
    const MemoryWait wait(Deadline::after(MemoryBudget::Clock::duration(20ms)));
    EXPECT_THROW(load("a"), TimeoutError);
  }
  std::thread other([&] { EXPECT_EQ(load("a")->value, 2); });
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(loads_, 1);
  held.reset();
  other.join();
}

TEST_F(WeightStoreTest, AModelThatCantLeaveInTimeStays) {
  const auto held = load("a");
  Residency::all().back()->drain(MemoryBudget::Clock::now() + 30ms);
  EXPECT_EQ(load("a"), held);
}

TEST_F(WeightStoreTest, AFailureReachesAllWhoWaitedAndCanBeTriedAgain) {
  constexpr int kWaiters = 4;
  std::latch loading(1);
  std::latch may_fail(1);
  std::atomic<int> failures = 0;
  std::thread loader([&] {
    EXPECT_THROW(store_.get(request("a"), nullptr,
                            [&]() -> Store::Pointer {
                              loading.count_down();
                              may_fail.wait();
                              throw std::runtime_error("no such weights");
                            }),
                 std::runtime_error);
  });
  loading.wait();
  std::vector<std::thread> waiters;
  std::latch waiters_here(kWaiters);
  for (int i = 0; i < kWaiters; ++i) {
    waiters.emplace_back([&] {
      waiters_here.count_down();
      try {
        // One that comes after the failure loads for itself; it fails in the same way.
        store_.get(request("a"), nullptr, []() -> Store::Pointer { throw std::runtime_error("no such weights"); });
      } catch (const std::runtime_error&) {
        ++failures;
      }
    });
  }
  waiters_here.wait();
  may_fail.count_down();
  loader.join();
  for (auto& waiter : waiters) waiter.join();
  EXPECT_EQ(failures, kWaiters);
  EXPECT_EQ(load("a")->value, 1);
  EXPECT_EQ(budget_.stats().used, 0u);
}

}  // namespace
}  // namespace remuda
