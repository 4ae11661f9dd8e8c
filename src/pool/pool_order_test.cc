// Who is served, in which order, and by when.
#include <mutex>
#include <vector>

#include "pool/pool_test_support.h"

namespace remuda::pool_test {
namespace {

TEST(PoolOrder, WaitersAreServedByPriorityThenInTheOrderTheyCame) {
  std::atomic<int> live{0};
  Pool pool({.max_instances = 1}, counting_factory(live));
  Lease<Counted> held = pool.acquire();
  const std::vector<Priority> arrivals = {Priority::kBulk,   Priority::kNormal,      Priority::kInteractive,
                                          Priority::kNormal, Priority::kInteractive, Priority::kBulk};
  std::mutex mutex;
  std::vector<int> served;
  std::vector<std::thread> threads;
  for (int i = 0; i < static_cast<int>(arrivals.size()); ++i) {
    threads.emplace_back([&, i] {
      const Lease<Counted> lease = pool.acquire({.timeout = kPatience, .priority = arrivals[static_cast<size_t>(i)]});
      const std::lock_guard lock(mutex);
      served.push_back(i);
    });
    wait_for_waiters(pool, i + 1);
  }
  held.release();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(served, (std::vector<int>{2, 4, 1, 3, 0, 5}));
}

TEST(PoolOrder, TryAcquireNeverWaits) {
  std::atomic<int> live{0};
  Pool pool({.max_instances = 1}, counting_factory(live));
  std::optional<Lease<Counted>> lease = pool.try_acquire();
  ASSERT_TRUE(lease);
  EXPECT_FALSE(pool.try_acquire());
  lease.reset();
  EXPECT_TRUE(pool.try_acquire());
}

TEST(PoolOrder, TimeoutSaysWhoHoldsTheInstances) {
  std::atomic<int> live{0};
  Pool pool({.name = "herd", .max_instances = 1}, counting_factory(live));
  const Lease<Counted> held = pool.acquire({.label = "nightly report"});
  const auto start = std::chrono::steady_clock::now();
  try {
    pool.acquire({.timeout = milliseconds(20)});
    FAIL() << "expected a TimeoutError";
  } catch (const TimeoutError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("herd"), std::string::npos) << text;
    EXPECT_NE(text.find("nightly report"), std::string::npos) << text;
    EXPECT_NE(text.find("by thread"), std::string::npos) << text;
  }
  EXPECT_GE(std::chrono::steady_clock::now() - start, milliseconds(20));
  EXPECT_THROW(pool.acquire({.timeout = milliseconds(-1)}), TimeoutError);
  const PoolStats stats = pool.get_pool_stats();
  EXPECT_EQ(stats.timeouts, 2);
  EXPECT_EQ(stats.waiting, 0);
}

TEST(PoolOrder, AWaiterThatTimedOutIsPassedOver) {
  std::atomic<int> live{0};
  Pool pool({.max_instances = 1}, counting_factory(live));
  Lease<Counted> held = pool.acquire();
  std::thread patient;
  std::thread hasty([&] { EXPECT_THROW(pool.acquire({.timeout = milliseconds(200)}), TimeoutError); });
  wait_for(pool, [](const PoolStats& stats) { return stats.waiting + static_cast<int64_t>(stats.timeouts) == 1; });
  patient = std::thread([&] { EXPECT_NO_THROW(pool.acquire({.timeout = kPatience})); });
  hasty.join();
  wait_for_waiters(pool, 1);
  held.release();
  patient.join();
  EXPECT_EQ(pool.get_pool_stats().available, 1);
}

// Deadlines and releases collide on purpose: whoever wins, no instance may get lost between them.
TEST(PoolOrder, NoInstanceIsLostBetweenTimeoutAndRelease) {
  std::atomic<int> live{0};
  Pool pool({.max_instances = 1}, counting_factory(live));
  std::atomic<int> timeouts{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 300; ++i) {
        try {
          const Lease<Counted> lease = pool.acquire({.timeout = std::chrono::microseconds(i % 50)});
          std::this_thread::yield();
        } catch (const TimeoutError&) {
          ++timeouts;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const PoolStats stats = pool.get_pool_stats();
  EXPECT_EQ(stats.available, 1);
  EXPECT_EQ(stats.in_use, 0);
  EXPECT_EQ(stats.timeouts, static_cast<uint64_t>(timeouts.load()));
  EXPECT_EQ(stats.acquires + stats.timeouts, 1200);
}

}  // namespace
}  // namespace remuda::pool_test
