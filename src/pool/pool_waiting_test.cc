// Waits that end otherwise than by an instance: cancelled, refused, or for want of memory.
#include <algorithm>
#include <latch>
#include <string>
#include <vector>

#include "pool/pool_test_support.h"

namespace remuda::pool_test {
namespace {

using Clock = std::chrono::steady_clock;

template <typename Action>
std::string message_of(ErrorCode code, const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "expected an Error: " << to_string(code);
  return {};
}

TEST(PoolCancel, RequestStopFreesThePlaceBeforeItReturns) {
  std::atomic<int> live{0};
  constexpr int kRounds = 300;  // The stop may come at any moment after the caller has its place.
  Pool pool({.max_instances = 1}, counting_factory(live));
  Lease<Counted> held = pool.acquire();
  for (int round = 0; round < kRounds; ++round) {
    std::stop_source source;
    std::thread waiter(
        [&] { message_of(ErrorCode::kCancelled, [&] { pool.acquire({.stop_token = source.get_token()}); }); });
    wait_for_waiters(pool, 1);
    source.request_stop();
    EXPECT_EQ(pool.get_pool_stats().waiting, 0);
    waiter.join();
  }
  held.release();
  EXPECT_EQ(pool.get_pool_stats().available, 1);
  EXPECT_EQ(pool.get_pool_stats().cancelled, kRounds);
  EXPECT_EQ(pool.get_pool_stats().timeouts, 0);
}

TEST(PoolCancel, OneThatWasStoppedBeforeTakesNothing) {
  std::atomic<int> live{0};
  Pool pool({.max_instances = 1}, counting_factory(live));
  std::stop_source source;
  source.request_stop();
  message_of(ErrorCode::kCancelled, [&] { pool.acquire({.stop_token = source.get_token()}); });
  EXPECT_EQ(live, 0);
}

TEST(PoolCancel, AStopAfterTheLeaseChangesNothing) {
  std::atomic<int> live{0};
  Pool pool({.max_instances = 1}, counting_factory(live));
  Lease<Counted> held = pool.acquire();
  std::stop_source source;
  std::thread waiter([&] {
    const Lease<Counted> lease = pool.acquire({.stop_token = source.get_token()});
    source.request_stop();
    EXPECT_NE(lease.get(), nullptr);
  });
  wait_for_waiters(pool, 1);
  held.release();
  waiter.join();
  EXPECT_EQ(pool.get_pool_stats().available, 1);
}

// Stops and releases collide on purpose: whoever wins, no instance may get lost between them.
TEST(PoolCancel, NoInstanceIsLostBetweenStopAndRelease) {
  std::atomic<int> live{0};
  Pool pool({.max_instances = 1}, counting_factory(live));
  for (int round = 0; round < 300; ++round) {
    Lease<Counted> held = pool.acquire();
    std::stop_source source;
    std::thread waiter([&] {
      try {
        pool.acquire({.timeout = kPatience, .stop_token = source.get_token()});
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kCancelled) << error.what();
      }
    });
    std::thread stopper([&] { source.request_stop(); });
    held.release();
    stopper.join();
    waiter.join();
    const PoolStats stats = pool.get_pool_stats();
    ASSERT_EQ(stats.available, 1);
    ASSERT_EQ(stats.waiting, 0);
  }
}

TEST(PoolCancel, APredicateIsLookedAtWhileWaitingAndWithoutTheLock) {
  std::atomic<int> live{0};
  Pool pool({.max_instances = 1}, counting_factory(live));
  const Lease<Counted> held = pool.acquire();
  int looks = 0;
  const Clock::time_point start = Clock::now();
  const std::string message = message_of(ErrorCode::kCancelled, [&] {
    pool.acquire({.cancelled = [&] {
      EXPECT_EQ(pool.get_pool_stats().waiting, 1);  // Would hang under the lock.
      return ++looks == 5;
    }});
  });
  EXPECT_EQ(looks, 5);
  EXPECT_GE(Clock::now() - start, milliseconds(40));
  EXPECT_NE(message.find("cancelled after "), std::string::npos) << message;
  EXPECT_EQ(pool.get_pool_stats().waiting, 0);
}

TEST(PoolCancel, WhatThePredicateThrowsIsTheCallers) {
  struct KeyboardInterrupt {};
  std::atomic<int> live{0};
  Pool pool({.max_instances = 1}, counting_factory(live));
  const Lease<Counted> held = pool.acquire();
  EXPECT_THROW(pool.acquire({.cancelled = []() -> bool { throw KeyboardInterrupt(); }}), KeyboardInterrupt);
  EXPECT_EQ(pool.get_pool_stats().waiting, 0);
}

// It throws just when the instance was handed over: that one goes back.
TEST(PoolCancel, AnInstanceGivenToACallerThatThrewGoesBack) {
  for (const bool discard : {false, true}) {
    std::atomic<int> live{0};
    Pool pool({.max_instances = 1}, counting_factory(live));
    Lease<Counted> held = pool.acquire();
    const auto release_and_throw = [&]() -> bool {
      discard ? held.discard() : held.release();
      throw std::runtime_error("interrupted");
    };
    EXPECT_THROW(pool.acquire({.cancelled = release_and_throw}), std::runtime_error);
    const PoolStats stats = pool.get_pool_stats();
    EXPECT_EQ(stats.available, discard ? 0 : 1);
    EXPECT_EQ(stats.in_use + stats.creating, 0);
    EXPECT_NO_THROW(pool.acquire({.timeout = milliseconds(0)}));
  }
}

TEST(PoolOverload, OneMoreThanMayWaitIsRefusedAtOnceWithTheFigures) {
  std::atomic<int> live{0};
  Pool pool({.name = "busy", .max_instances = 1, .max_waiting = 1}, counting_factory(live));
  Lease<Counted> held = pool.acquire({.label = "long job"});
  std::thread waiter([&] { EXPECT_NO_THROW(pool.acquire({.timeout = kPatience})); });
  wait_for_waiters(pool, 1);
  const Clock::time_point start = Clock::now();
  EXPECT_THROW(pool.acquire(), Overloaded);
  const std::string message = message_of(ErrorCode::kOverloaded, [&] { pool.acquire({.timeout = kPatience}); });
  EXPECT_LT(Clock::now() - start, kPatience / 2);
  for (const char* part : {"busy", "1 callers wait", "max_waiting", "long job", "later"}) {
    EXPECT_NE(message.find(part), std::string::npos) << message;
  }
  EXPECT_FALSE(pool.try_acquire());
  EXPECT_EQ(pool.get_pool_stats().overloaded, 2);
  EXPECT_EQ(pool.waiting(), 1);
  held.release();
  waiter.join();
  EXPECT_EQ(pool.waiting(), 0);
  EXPECT_NO_THROW(pool.acquire());
}

TEST(PoolOverload, ALimitOfNoneMeansNobodyWaits) {
  std::atomic<int> live{0};
  Pool pool({.max_instances = 1, .max_waiting = 0}, counting_factory(live));
  const Lease<Counted> held = pool.acquire();
  EXPECT_THROW(pool.acquire({.timeout = kPatience}), Overloaded);
}

// One instance fits; making another is out of memory.
class PoolMemory : public testing::Test {
 protected:
  Pool::Factory factory() {
    return [this] {
      ++calls_;
      if (live_ >= fit_) throw OutOfMemory("70 MB asked for, 3 MB left");
      return std::make_unique<Counted>(live_);
    };
  }

  std::atomic<int> live_{0};
  std::atomic<int> fit_{1};
  std::atomic<int> calls_{0};
};

TEST_F(PoolMemory, WithoutOthersItIsTheCallers) {
  fit_ = 0;
  Pool pool({.max_instances = 2}, factory());
  EXPECT_THROW(pool.acquire(), OutOfMemory);
  EXPECT_THROW(pool.try_acquire(), OutOfMemory);
  EXPECT_EQ(pool.get_pool_stats().out_of_memory, 0);
  EXPECT_EQ(pool.get_pool_stats().creation_failures, 2);
}

TEST_F(PoolMemory, WithOthersTheCallerWaitsForOneOfThem) {
  Pool pool({.max_instances = 3}, factory());
  Lease<Counted> held = pool.acquire();
  const uint64_t id = held->metadata().id;
  std::thread waiter([&] { EXPECT_EQ(pool.acquire({.timeout = kPatience})->metadata().id, id); });
  wait_for(pool, [](const PoolStats& stats) { return stats.out_of_memory == 1 && stats.waiting == 1; });
  EXPECT_FALSE(pool.try_acquire());
  held.release();
  waiter.join();
  EXPECT_EQ(pool.get_pool_stats().created, 1);
}

TEST_F(PoolMemory, TheTimeoutSaysWhyThereIsNoMore) {
  Pool pool({.max_instances = 2}, factory());
  const Lease<Counted> held = pool.acquire({.label = "nightly"});
  const std::string message = message_of(ErrorCode::kTimeout, [&] { pool.acquire({.timeout = milliseconds(20)}); });
  EXPECT_NE(message.find("no further instance was made: 70 MB asked for, 3 MB left"), std::string::npos) << message;
  EXPECT_NE(message.find("nightly"), std::string::npos) << message;
  EXPECT_FALSE(pool.try_acquire());
}

TEST_F(PoolMemory, OneThatComesBackIsTheFirstOfItsPriority) {
  Pool pool({.max_instances = 2}, factory());
  Lease<Counted> held = pool.acquire();
  std::mutex mutex;
  std::vector<int> served;
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&, i] {
      const Lease<Counted> lease = pool.acquire({.timeout = kPatience});
      const std::lock_guard lock(mutex);
      served.push_back(i);
    });
    wait_for_waiters(pool, i + 1);
  }
  // It tries again, and comes back again.
  wait_for(pool, [](const PoolStats& stats) { return stats.out_of_memory == 3 && stats.waiting == 3; });
  held.release();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(served, (std::vector<int>{0, 1, 2}));
}

TEST_F(PoolMemory, AnotherIsMadeWhenMemoryCameFreeElsewhere) {
  Pool pool({.max_instances = 2}, factory());
  const Lease<Counted> held = pool.acquire();
  std::thread waiter([&] { EXPECT_NE(pool.acquire({.timeout = kPatience}).get(), held.get()); });
  wait_for(pool, [](const PoolStats& stats) { return stats.out_of_memory == 1; });
  fit_ = 2;
  waiter.join();
  EXPECT_EQ(pool.get_pool_stats().total, 2);
}

// At once: the quickest of some rounds, as the machine may be busy, takes less than the pause of a quarter of a second.
template <typename Round>
void expect_no_pause(const Round& round) {
  Clock::duration quickest = kPatience;
  for (int i = 0; i < 8; ++i) {
    const Clock::time_point start = Clock::now();
    round();
    quickest = std::min(quickest, Clock::now() - start);
  }
  EXPECT_LT(quickest, milliseconds(200));
}

TEST_F(PoolMemory, ADestroyedOneMakesRoomAtOnce) {
  fit_ = 2;
  expect_no_pause([&] {
    Pool pool({.max_instances = 3}, factory());
    const Lease<Counted> stays = pool.acquire();
    Lease<Counted> goes = pool.acquire();
    std::thread waiter([&] { EXPECT_EQ(pool.acquire({.timeout = kPatience})->metadata().use_count, 1); });
    wait_for(pool, [](const PoolStats& stats) { return stats.out_of_memory == 1 && stats.waiting == 1; });
    goes.discard();
    waiter.join();
  });
}

// Two make an instance each at once, and none fits: the first failure waits for the second, whose is everybody's end.
TEST_F(PoolMemory, WhenTheLastHopeFailsNobodyWaits) {
  expect_no_pause([] {
    std::latch both{2};
    std::atomic<int> calls{0};
    Pool pool({.max_instances = 2, .max_creations = 2}, [&]() -> std::unique_ptr<Counted> {
      if (++calls <= 2) both.arrive_and_wait();
      throw OutOfMemory("nothing left");
    });
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) threads.emplace_back([&] { EXPECT_THROW(pool.acquire(), OutOfMemory); });
    for (std::thread& thread : threads) thread.join();
    EXPECT_GE(pool.get_pool_stats().out_of_memory, 1);
    EXPECT_EQ(pool.get_pool_stats().waiting, 0);
    EXPECT_EQ(pool.get_pool_stats().total, 0);
  });
}

}  // namespace
}  // namespace remuda::pool_test
