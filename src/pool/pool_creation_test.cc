// Making instances: how many at once, and what a failure costs.
#include <latch>
#include <vector>

#include "pool/pool_test_support.h"

namespace remuda::pool_test {
namespace {

struct NoWeights : std::runtime_error {
  using std::runtime_error::runtime_error;
};

TEST(PoolCreation, AFailureThrowsToItsCallerAndLetsTheNextWaiterTry) {
  std::atomic<int> live{0};
  std::atomic<int> calls{0};
  std::latch go{1};
  Pool pool({.max_instances = 1}, [&]() -> std::unique_ptr<Counted> {
    if (++calls == 1) {
      go.wait();
      throw NoWeights("weights are gone");
    }
    return std::make_unique<Counted>(live);
  });
  std::thread first([&] { EXPECT_THROW(pool.acquire(), NoWeights); });
  wait_for(pool, [](const PoolStats& stats) { return stats.creating == 1; });
  std::thread second([&] { EXPECT_NO_THROW(pool.acquire({.timeout = kPatience})); });
  wait_for_waiters(pool, 1);
  go.count_down();
  first.join();
  second.join();
  const PoolStats stats = pool.get_pool_stats();
  EXPECT_EQ(stats.creation_failures, 1);
  EXPECT_EQ(stats.created, 1);
  EXPECT_EQ(stats.total, 1);
}

TEST(PoolCreation, AFactoryThatMakesNothingIsAnErrorNotACrash) {
  Pool pool({.max_instances = 1}, []() -> std::unique_ptr<Counted> { return nullptr; });
  EXPECT_THROW(pool.acquire(), Error);
  EXPECT_EQ(pool.get_pool_stats().total, 0);
}

TEST(PoolCreation, ManyWaitersStartNoMoreCreationsThanAllowed) {
  std::atomic<int> live{0};
  std::atomic<int> now{0};
  std::atomic<int> most{0};
  Pool pool({.max_instances = 3, .max_creations = 2}, [&] {
    const int count = ++now;
    for (int seen = most; count > seen && !most.compare_exchange_weak(seen, count);) {
    }
    std::this_thread::yield();
    auto instance = std::make_unique<Counted>(live);
    --now;
    return instance;
  });
  std::atomic<int> most_live{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) {
        const Lease<Counted> lease = pool.acquire({.timeout = kPatience, .destroy_after_use = true});
        const int count = live;
        for (int seen = most_live; count > seen && !most_live.compare_exchange_weak(seen, count);) {
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(most, 2);
  EXPECT_LE(most_live, 3);
  EXPECT_EQ(live, 0);
  EXPECT_EQ(pool.get_pool_stats().created, 800);
  EXPECT_EQ(pool.get_pool_stats().destroyed, 800);
}

// Others are served while one creates: the factory is called without the lock.
TEST(PoolCreation, DoesNotBlockOthers) {
  std::atomic<int> live{0};
  std::atomic<int> calls{0};
  std::latch go{1};
  Pool pool({.max_instances = 2}, [&] {
    if (++calls == 2) go.wait();
    return std::make_unique<Counted>(live);
  });
  Lease<Counted> held = pool.acquire();
  std::thread creator([&] { EXPECT_NO_THROW(pool.acquire()); });
  wait_for(pool, [](const PoolStats& stats) { return stats.creating == 1; });
  held.release();
  EXPECT_TRUE(pool.try_acquire());
  go.count_down();
  creator.join();
}

}  // namespace
}  // namespace remuda::pool_test
