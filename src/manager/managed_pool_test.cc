#include "manager/managed_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <optional>
#include <thread>

namespace remuda {
namespace {

using Time = std::chrono::steady_clock::time_point;

PoolControl control() {
  return {.stats = [] { return PoolStats(); },
          .least_recent_use = []() -> std::optional<Time> { return std::nullopt; },
          .evict_idle = [](Time) { return true; },
          .cleanup = [] {}};
}

TEST(ManagedPool, MayBeLookedAtByWhatAnEvictionCalls) {
  std::shared_ptr<ManagedPool> pool;
  PoolControl nested = control();
  nested.evict_idle = [&pool](Time) { return pool->stats().has_value() && !pool->is_in_use(); };
  const PoolRegistration registration({}, std::move(nested));
  pool = registration.pool();
  EXPECT_TRUE(pool->evict_idle({}));
}

TEST(ManagedPool, MayEndInItsOwnEviction) {
  std::optional<PoolRegistration> registration;
  PoolControl ending = control();
  ending.evict_idle = [&registration](Time) {
    registration.reset();
    return true;
  };
  registration.emplace(Settings(), std::move(ending));
  const std::shared_ptr<ManagedPool> pool = registration->pool();
  EXPECT_TRUE(pool->evict_idle({}));
  EXPECT_FALSE(registration);
  EXPECT_FALSE(pool->evict_idle({})) << "it is gone";
  EXPECT_FALSE(pool->stats());
}

TEST(ManagedPool, ItsEndWaitsForOtherThreads) {
  std::promise<void> entered, go_on;
  std::atomic<bool> returned = false;
  PoolControl slow = control();
  slow.cleanup = [&] {
    entered.set_value();
    go_on.get_future().wait();
    returned = true;
  };
  std::optional<PoolRegistration> registration;
  registration.emplace(Settings(), std::move(slow));
  std::jthread looking([pool = registration->pool()] { pool->cleanup(); });
  entered.get_future().wait();
  std::jthread releasing([&go_on] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    go_on.set_value();
  });
  registration.reset();
  EXPECT_TRUE(returned);
}

}  // namespace
}  // namespace remuda
