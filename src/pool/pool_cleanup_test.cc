// Getting smaller, empty and closed.
#include <latch>
#include <vector>

#include "pool/pool_test_support.h"

namespace remuda::pool_test {
namespace {

TEST(PoolCleanup, DestroysIdleInstancesNowAndLeasedOnesWhenTheyComeHome) {
  std::atomic<int> live{0};
  Pool pool({.max_instances = 2}, counting_factory(live));
  Lease<Counted> held = pool.acquire();
  pool.acquire();
  EXPECT_FALSE(pool.cleanup());
  EXPECT_EQ(live, 1);
  EXPECT_FALSE(pool.cleanup(milliseconds(5)));  // Again, and in vain.
  held.release();
  EXPECT_EQ(live, 0);
  EXPECT_TRUE(pool.cleanup());
  EXPECT_NO_THROW(pool.acquire());  // On demand.
  EXPECT_EQ(pool.get_pool_stats().available, 1);
}

TEST(PoolCleanup, WaitsForLeasesWhenGivenATimeout) {
  std::atomic<int> live{0};
  Pool pool({.max_instances = 1}, counting_factory(live));
  Lease<Counted> held = pool.acquire();
  std::latch started{1};
  std::thread cleaner([&] {
    started.count_down();
    EXPECT_TRUE(pool.cleanup(kPatience));
    EXPECT_EQ(live, 0);
  });
  started.wait();
  held.release();
  cleaner.join();
}

TEST(PoolCleanup, WaitersAreServedWithNewInstances) {
  std::atomic<int> live{0};
  Pool pool({.max_instances = 1}, counting_factory(live));
  Lease<Counted> held = pool.acquire();
  const uint64_t old_id = held->metadata().id;
  std::thread waiter([&] { EXPECT_NE(pool.acquire({.timeout = kPatience})->metadata().id, old_id); });
  wait_for_waiters(pool, 1);
  pool.cleanup();
  held.release();
  waiter.join();
}

TEST(PoolClose, WakesEveryWaiterWithPoolClosedAndIsFinal) {
  // Many rounds: a lease that comes home between close() and a waiter's waking must not make it an instance.
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> live{0};
    Pool pool({.max_instances = 1}, counting_factory(live));
    Lease<Counted> held = pool.acquire();
    std::vector<std::thread> waiters;
    for (int i = 0; i < 3; ++i) waiters.emplace_back([&] { EXPECT_THROW(pool.acquire(), PoolClosed); });
    wait_for_waiters(pool, 3);
    pool.close();
    held.release();
    for (std::thread& waiter : waiters) waiter.join();
    EXPECT_EQ(live, 0);
    EXPECT_THROW(pool.acquire(), PoolClosed);
    EXPECT_THROW(pool.try_acquire(), PoolClosed);
    EXPECT_THROW(pool.get_instance(), PoolClosed);
    pool.close();
    EXPECT_TRUE(pool.cleanup());
    EXPECT_EQ(pool.get_pool_stats().created, 1);
  }
}

TEST(PoolResize, ServesWaitersWhenRaisedAndDestroysWhenLowered) {
  std::atomic<int> live{0};
  Pool pool({.max_instances = 1}, counting_factory(live));
  Lease<Counted> held = pool.acquire();
  std::latch done{1};
  std::thread waiter([&] {
    const Lease<Counted> lease = pool.acquire({.timeout = kPatience});
    done.wait();
  });
  wait_for_waiters(pool, 1);
  pool.resize(2);
  wait_for(pool, [](const PoolStats& stats) { return stats.in_use == 2; });
  pool.resize(1);
  held.release();
  EXPECT_EQ(live, 1);
  done.count_down();
  waiter.join();
  EXPECT_EQ(pool.get_pool_stats().available, 1);
  EXPECT_THROW(pool.resize(0), Error);
}

TEST(PoolResize, ShrinkTakesIdleInstancesOnly) {
  std::atomic<int> live{0};
  Pool pool({.max_instances = 3}, counting_factory(live));
  const Lease<Counted> held = pool.acquire();
  {
    const Lease<Counted> b = pool.acquire();
    const Lease<Counted> c = pool.acquire();
  }
  EXPECT_EQ(pool.shrink(2), 1);
  EXPECT_EQ(live, 2);
  EXPECT_EQ(pool.shrink(0), 1);
  EXPECT_EQ(live, 1);
  EXPECT_EQ(pool.shrink(0), 0);
}

TEST(PoolOptions, BoundsBelowOneAreRefused) {
  std::atomic<int> live{0};
  EXPECT_THROW(Pool({.max_instances = 0}, counting_factory(live)), Error);
  EXPECT_THROW(Pool({.max_creations = 0}, counting_factory(live)), Error);
}

}  // namespace
}  // namespace remuda::pool_test
