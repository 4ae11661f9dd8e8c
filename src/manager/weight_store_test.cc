#include "manager/weight_store.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <stdexcept>
#include <thread>
#include <vector>

namespace remuda {
namespace {

struct Model {
  int value;
};
using Store = WeightStore<Model>;

TEST(WeightStore, OneCopyWhileAnyoneUsesIt) {
  Store store;
  int loads = 0;
  const auto load = [&loads] { return std::make_shared<const Model>(Model{++loads}); };
  auto first = store.get("a", load);
  const auto second = store.get("a", load);
  EXPECT_EQ(first, second);
  EXPECT_NE(store.get("b", load), first);
  EXPECT_EQ(loads, 2);
}

TEST(WeightStore, KeepsNothingAlive) {
  Store store;
  int loads = 0;
  const auto load = [&loads] { return std::make_shared<const Model>(Model{++loads}); };
  std::weak_ptr<const Model> watch = store.get("a", load);
  EXPECT_TRUE(watch.expired());
  EXPECT_EQ(store.get("a", load)->value, 2);
}

TEST(WeightStore, ManyThreadsLoadOnce) {
  constexpr int kThreads = 8;
  Store store;
  std::atomic<int> loads = 0;
  std::latch all_here(kThreads);
  std::vector<Store::Pointer> models(kThreads);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      all_here.arrive_and_wait();
      models[i] = store.get("a", [&loads] { return std::make_shared<const Model>(Model{++loads}); });
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(loads, 1);
  for (const auto& model : models) EXPECT_EQ(model, models[0]);
}

TEST(WeightStore, AFailureReachesAllWhoWaitedAndCanBeTriedAgain) {
  constexpr int kWaiters = 4;
  Store store;
  std::latch loading(1);
  std::latch may_fail(1);
  std::atomic<int> failures = 0;
  std::thread loader([&] {
    EXPECT_THROW(store.get("a",
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
        store.get("a", []() -> Store::Pointer { throw std::runtime_error("no such weights"); });
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
  EXPECT_EQ(store.get("a", [] { return std::make_shared<const Model>(Model{7}); })->value, 7);
}

}  // namespace
}  // namespace remuda
