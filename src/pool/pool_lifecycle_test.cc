// How long instances live: idle time, age, uses, how many are kept ready, and who is evicted.
#include <functional>
#include <latch>
#include <vector>

#include "pool/pool_test_support.h"

namespace remuda::pool_test {
namespace {

using std::chrono::nanoseconds;
using Clock = std::chrono::steady_clock;

// Leaves so many idle instances.
void leave_idle(Pool& pool, int count) {
  std::vector<Lease<Counted>> leases;
  for (int i = 0; i < count; ++i) leases.push_back(pool.acquire());
}

void expect_refused(PoolOptions options, const std::string& named) {
  std::atomic<int> live{0};
  try {
    const Pool pool(std::move(options), counting_factory(live));
    FAIL() << "expected an error that names " << named;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_NE(std::string(error.what()).find(named + ": expected"), std::string::npos) << error.what();
  }
}

TEST(PoolLifecycle, OptionsOutOfRangeAreRefusedByName) {
  for (const nanoseconds duration : {nanoseconds(0), nanoseconds(-1)}) {
    expect_refused({.idle_ttl = duration}, "idle_ttl");
    expect_refused({.max_lifetime = duration}, "max_lifetime");
    expect_refused({.leak_threshold = duration}, "leak_threshold");
  }
  expect_refused({.max_uses = 0}, "max_uses");
  expect_refused({.min_idle = -1}, "min_idle");
  expect_refused({.max_instances = 2, .min_idle = 3}, "min_idle");
  expect_refused({.max_waiting = -1}, "max_waiting");
  expect_refused({.max_instances = -4}, "max_instances");
}

TEST(PoolLifecycle, AnIdleInstanceGoesAfterItsTimeAndNotBefore) {
  constexpr milliseconds kTtl{40};
  std::atomic<int> live{0};
  Pool pool({.max_instances = 3, .idle_ttl = kTtl}, counting_factory(live));
  const Lease<Counted> held = pool.acquire();
  const Clock::time_point before = Clock::now();
  leave_idle(pool, 2);
  wait_for(pool, [](const PoolStats& stats) { return stats.expired == 2; });
  EXPECT_GE(Clock::now() - before, kTtl);
  wait_for(pool, [](const PoolStats& stats) { return stats.destroying == 0; });
  EXPECT_EQ(live, 1);  // What is leased stays.
  EXPECT_EQ(pool.get_pool_stats().total, 1);
  EXPECT_EQ(pool.get_pool_stats().destroyed, 2);
}

TEST(PoolLifecycle, AnInstanceInUseIsNotIdle) {
  constexpr milliseconds kTtl{100};
  std::atomic<int> live{0};
  Pool pool({.max_instances = 1, .idle_ttl = kTtl}, counting_factory(live));
  const Clock::time_point end = Clock::now() + 4 * kTtl;
  uint64_t id = pool.acquire()->metadata().id;
  Clock::time_point last = Clock::now();
  while (last < end) {
    const Lease<Counted> lease = pool.acquire();
    const uint64_t now_id = lease->metadata().id;
    const Clock::time_point now = Clock::now();
    const bool was_idle_for_long = now - last >= kTtl / 2;  // As the machine was busy.
    ASSERT_TRUE(now_id == id || was_idle_for_long);
    id = now_id;
    last = now;
  }
}

TEST(PoolLifecycle, MinIdleOutlastsTheIdleTime) {
  std::atomic<int> live{0};
  Pool pool({.max_instances = 4, .idle_ttl = milliseconds(5), .min_idle = 1}, counting_factory(live));
  leave_idle(pool, 3);
  wait_for(pool, [](const PoolStats& stats) { return stats.destroyed == 2; });
  std::this_thread::sleep_for(milliseconds(20));
  EXPECT_EQ(pool.get_pool_stats().available, 1);
}

TEST(PoolLifecycle, AnOldInstanceGoesIdleOrWhenItComesHome) {
  std::atomic<int> live{0};
  Pool pool({.max_instances = 2, .max_lifetime = milliseconds(30)}, counting_factory(live));
  Lease<Counted> held = pool.acquire();
  leave_idle(pool, 1);
  wait_for(pool, [](const PoolStats& stats) { return stats.destroyed == 1; });
  EXPECT_EQ(live, 1);
  held.release();
  EXPECT_EQ(live, 0);
  EXPECT_EQ(pool.get_pool_stats().expired, 2);
}

TEST(PoolLifecycle, AnInstanceIsUsedSoManyTimes) {
  std::atomic<int> live{0};
  Pool pool({.max_instances = 1, .max_uses = 3}, counting_factory(live));
  std::vector<uint64_t> ids;
  for (int i = 0; i < 6; ++i) ids.push_back(pool.acquire()->metadata().id);
  EXPECT_EQ(ids[0], ids[2]);
  EXPECT_NE(ids[2], ids[3]);
  EXPECT_EQ(ids[3], ids[5]);
  EXPECT_EQ(live, 0);
  EXPECT_EQ(pool.get_pool_stats().expired, 2);
}

TEST(PoolLifecycle, WarmUpMakesOneOrAsManyAsAreToBeIdle) {
  std::atomic<int> live{0};
  Pool one({.max_instances = 4}, counting_factory(live));
  one.warm_up();
  one.warm_up();
  EXPECT_EQ(live, 1);
  Pool three({.max_instances = 4, .min_idle = 3}, counting_factory(live));
  three.warm_up();
  EXPECT_EQ(three.get_pool_stats().available, 3);
  Pool broken({.min_idle = 1}, []() -> std::unique_ptr<Counted> { throw std::runtime_error("no weights"); });
  EXPECT_THROW(broken.warm_up(), std::runtime_error);
  EXPECT_EQ(broken.get_pool_stats().total, 0);
  broken.close();
  EXPECT_THROW(broken.warm_up(), PoolClosed);
}

TEST(PoolLifecycle, WhatLeasesTakeIsMadeAgainInTheBackground) {
  std::atomic<int> live{0};
  Pool pool({.max_instances = 3, .min_idle = 1}, counting_factory(live));
  std::vector<Lease<Counted>> leases;
  for (int i = 0; i < 2; ++i) {
    leases.push_back(pool.acquire());
    pool.warm_up();
    wait_for(pool, [](const PoolStats& stats) { return stats.available == 1; });
  }
  leases.push_back(pool.acquire());  // The last that there is room for.
  EXPECT_EQ(pool.get_pool_stats().total, 3);
  leases.back().discard();
  wait_for(pool, [](const PoolStats& stats) { return stats.available == 1; });
  EXPECT_EQ(pool.get_pool_stats().in_use, 2);
}

TEST(PoolLifecycle, WhatIsTakenForItsMemoryIsNotMadeAgain) {
  std::atomic<int> live{0};
  Pool pool({.max_instances = 3, .min_idle = 2}, counting_factory(live));
  pool.warm_up();
  const std::function<void()> takings[] = {[&] { EXPECT_TRUE(pool.evict_idle(Clock::time_point::max())); },
                                           [&] { EXPECT_EQ(pool.shrink(0), 1); }, [&] { pool.cleanup(); }};
  for (const auto& take : takings) {
    take();
    std::this_thread::sleep_for(milliseconds(20));
    EXPECT_EQ(pool.get_pool_stats().created, 2);
  }
}

// Instances come idle one by one, and each time the background could think that the rest is its to make.
TEST(PoolLifecycle, WarmUpAndTheBackgroundTogetherMakeNoMoreThanMinIdle) {
  std::atomic<int> live{0};
  Pool pool({.max_instances = 6, .min_idle = 3}, [&] {
    std::this_thread::sleep_for(milliseconds(20));
    return std::make_unique<Counted>(live);
  });
  pool.warm_up();
  EXPECT_EQ(pool.get_pool_stats().available, 3);
  Lease<Counted> held = pool.acquire();
  pool.warm_up();  // The background makes the one that lacks, or this does.
  EXPECT_EQ(pool.get_pool_stats().available, 3);
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_EQ(pool.get_pool_stats().created, 4);
}

TEST(PoolLifecycle, AFactoryMayWarmUpItsPool) {
  std::atomic<int> live{0};
  Pool* self = nullptr;
  Pool pool({.max_instances = 4, .min_idle = 2}, [&] {
    if (live > 0) self->warm_up();
    return std::make_unique<Counted>(live);
  });
  self = &pool;
  pool.warm_up();
  EXPECT_EQ(pool.get_pool_stats().available, 2);
}

// Visits for other reasons, here to report a leak, don't make the attempts more frequent.
TEST(PoolLifecycle, ABackgroundCreationThatFailsIsNotTriedAgainAtOnce) {
  std::atomic<int> live{0};
  std::atomic<int> calls{0};
  Pool pool({.max_instances = 3, .leak_threshold = milliseconds(20), .min_idle = 1}, [&] {
    if (++calls > 1) throw std::runtime_error("disk fell out");
    return std::make_unique<Counted>(live);
  });
  testing::internal::CaptureStderr();
  pool.warm_up();
  const Clock::time_point start = Clock::now();
  const Lease<Counted> held = pool.acquire();
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_EQ(pool.get_pool_stats().leaks, 1);
  const int made = calls;
  EXPECT_LE(made, 2 + (Clock::now() - start) / seconds(1));
  testing::internal::GetCapturedStderr();
}

TEST(PoolLifecycle, ABackgroundCreationThatFailsIsLoggedAndTriedAgain) {
  std::atomic<int> live{0};
  std::atomic<int> calls{0};
  Pool pool({.name = "shaky", .max_instances = 3, .min_idle = 1}, [&] {
    if (++calls == 2) throw std::runtime_error("disk fell out");
    return std::make_unique<Counted>(live);
  });
  pool.warm_up();
  testing::internal::CaptureStderr();
  const Lease<Counted> held = pool.acquire();
  wait_for(pool, [](const PoolStats& stats) { return stats.creation_failures == 1; });
  wait_for(pool, [](const PoolStats& stats) { return stats.available == 1; });
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find("disk fell out"), std::string::npos) << log;
}

TEST(PoolLifecycle, EvictionTakesTheLeastRecentlyUsedIfItIsOldEnough) {
  std::atomic<int> live{0};
  Pool pool({.max_instances = 3}, counting_factory(live));
  EXPECT_FALSE(pool.least_recent_use());
  EXPECT_FALSE(pool.evict_idle(Clock::time_point::max()));
  Lease<Counted> a = pool.acquire();
  Lease<Counted> b = pool.acquire();
  EXPECT_FALSE(pool.evict_idle(Clock::time_point::max()));  // Never what is leased.
  const uint64_t b_id = b->metadata().id;
  const Clock::time_point before = Clock::now();
  a.release();
  const Clock::time_point between = Clock::now();
  b.release();
  EXPECT_GE(*pool.least_recent_use(), before);
  EXPECT_LE(*pool.least_recent_use(), between);
  EXPECT_FALSE(pool.evict_idle(before));
  EXPECT_FALSE(pool.evict_idle(*pool.least_recent_use()));
  EXPECT_TRUE(pool.evict_idle(Clock::now()));
  EXPECT_EQ(live, 1);  // Gone when it returns.
  EXPECT_EQ(pool.acquire()->metadata().id, b_id);
  EXPECT_EQ(pool.get_pool_stats().evicted, 1);
}

// The housekeeping thread calls the factory, which may use what the owner of the pool destroys after closing it.
TEST(PoolLifecycle, CloseWaitsForTheBackgroundToLeave) {
  std::atomic<int> live{0};
  std::atomic<int> calls{0};
  std::atomic<bool> making{false};
  std::latch go{1};
  Pool pool({.max_instances = 3, .min_idle = 1}, [&] {
    if (++calls == 2) {
      making = true;
      go.wait();
      std::this_thread::sleep_for(milliseconds(20));
      making = false;
    }
    return std::make_unique<Counted>(live);
  });
  pool.warm_up();
  const Lease<Counted> held = pool.acquire();
  wait_for(pool, [](const PoolStats& stats) { return stats.creating == 1; });
  go.count_down();
  pool.close();
  EXPECT_FALSE(making);
  EXPECT_EQ(live, 1);
}

TEST(PoolLifecycle, BadBoundsAreRefusedAndChangeNothing) {
  std::atomic<int> live{0};
  Pool pool({.max_instances = 2}, counting_factory(live));
  leave_idle(pool, 2);
  for (const int64_t bound : {0, -1}) {
    try {
      pool.resize(bound);
      FAIL() << "expected an Error";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_NE(std::string(error.what()).find("expected at least 1"), std::string::npos) << error.what();
    }
  }
  EXPECT_THROW(pool.shrink(-1), Error);
  EXPECT_EQ(pool.get_pool_stats().max_instances, 2);
  EXPECT_EQ(pool.get_pool_stats().available, 2);
}

}  // namespace
}  // namespace remuda::pool_test
