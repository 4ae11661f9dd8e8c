#include "device/compute_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "remuda/error.h"

namespace remuda {
namespace {

using namespace std::chrono_literals;

// Every element of [0, count) exactly once, in ranges no longer than the grain.
void expect_covers(ComputePool& pool, int64_t count, int64_t grain) {
  std::vector<std::atomic<int>> visits(static_cast<size_t>(count));
  std::atomic<bool> bad_range{false};
  pool.parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    if (begin < 0 || end > count || end <= begin || end - begin > grain) {
      bad_range = true;
      return;
    }
    for (int64_t i = begin; i < end; ++i) visits[i].fetch_add(1, std::memory_order_relaxed);
  });
  EXPECT_FALSE(bad_range);
  for (int64_t i = 0; i < count; ++i) ASSERT_EQ(visits[i], 1) << "element " << i << " of " << count << " by " << grain;
}

class ComputePoolTest : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Threads, ComputePoolTest, testing::Values(1, 2, 3, 8));

TEST_P(ComputePoolTest, CoversEveryElementOnce) {
  ComputePool pool(GetParam());
  EXPECT_EQ(pool.threads(), GetParam());
  for (const int64_t count : {0, 1, 2, 3, 7, 8, 100, 1001}) {
    for (const int64_t grain : {1, 2, 7, 1000, 100000}) expect_covers(pool, count, grain);
  }
}

TEST_P(ComputePoolTest, ManyCallersAtOnce) {
  ComputePool pool(GetParam());
  std::vector<std::thread> callers;
  for (int t = 0; t < 6; ++t) {
    callers.emplace_back([&pool, t] {
      for (int i = 0; i < 300; ++i) expect_covers(pool, 1 + (t * 31 + i) % 40, 1 + i % 3);
    });
  }
  for (std::thread& caller : callers) caller.join();
}

TEST_P(ComputePoolTest, NestedCallsEnd) {
  ComputePool pool(GetParam());
  for (int repeat = 0; repeat < 20; ++repeat) {
    std::atomic<int> leaves{0};
    pool.parallel_for(6, 1, [&](int64_t, int64_t) {
      pool.parallel_for(5, 2, [&](int64_t, int64_t) {
        pool.parallel_for(4, 1, [&](int64_t begin, int64_t end) { leaves += static_cast<int>(end - begin); });
      });
    });
    ASSERT_EQ(leaves, 6 * 3 * 4);
  }
}

TEST_P(ComputePoolTest, OnePoolMayCallAnother) {
  ComputePool outer(GetParam());
  ComputePool inner(2);
  std::atomic<int> leaves{0};
  outer.parallel_for(
      20, 1, [&](int64_t, int64_t) { inner.parallel_for(10, 1, [&](int64_t, int64_t) { leaves.fetch_add(1); }); });
  EXPECT_EQ(leaves, 200);
}

TEST_P(ComputePoolTest, AnExceptionArrivesAfterEveryRangeHasEnded) {
  ComputePool pool(GetParam());
  for (int repeat = 0; repeat < 100; ++repeat) {
    std::atomic<int> running{0};
    try {
      pool.parallel_for(50, 1, [&](int64_t begin, int64_t) {
        running.fetch_add(1);
        std::this_thread::yield();
        running.fetch_sub(1);
        if (begin % 10 == 7) throw std::runtime_error("range " + std::to_string(begin));
      });
      FAIL() << "nothing thrown";
    } catch (const std::runtime_error& error) {
      EXPECT_THAT(error.what(), testing::MatchesRegex("range [0-9]*7"));
    }
    ASSERT_EQ(running, 0);
  }
  expect_covers(pool, 100, 1);
}

TEST_P(ComputePoolTest, AnExceptionCrossesNestedCalls) {
  ComputePool pool(GetParam());
  EXPECT_THROW(pool.parallel_for(4, 1,
                                 [&](int64_t, int64_t) {
                                   pool.parallel_for(4, 1, [](int64_t, int64_t) { throw std::logic_error("deep"); });
                                 }),
               std::logic_error);
}

TEST_P(ComputePoolTest, NeverMoreThreadsThanAskedFor) {
  ComputePool pool(GetParam());
  std::mutex mutex;
  std::set<std::thread::id> seen;
  std::atomic<int> running{0}, most{0};
  for (int repeat = 0; repeat < 50; ++repeat) {
    pool.parallel_for(40, 1, [&](int64_t, int64_t) {
      const int now = running.fetch_add(1) + 1;
      int before = most.load();
      while (before < now && !most.compare_exchange_weak(before, now)) {
      }
      std::this_thread::yield();
      {
        const std::lock_guard lock(mutex);
        seen.insert(std::this_thread::get_id());
      }
      running.fetch_sub(1);
    });
  }
  EXPECT_LE(most, GetParam());
  EXPECT_LE(seen.size(), static_cast<size_t>(GetParam()));
}

// Each range waits until all of them run at the same time: only possible if every worker comes, even from its sleep.
TEST_P(ComputePoolTest, ParkedWorkersWakeUp) {
  ComputePool pool(GetParam());
  for (int repeat = 0; repeat < 20; ++repeat) {
    if (repeat % 2 == 0) std::this_thread::sleep_for(2ms);  // Long past the time that a worker spins.
    std::atomic<int> arrived{0};
    std::atomic<bool> missed{false};
    pool.parallel_for(GetParam(), 1, [&](int64_t, int64_t) {
      arrived.fetch_add(1);
      const auto deadline = std::chrono::steady_clock::now() + 20s;
      while (arrived.load() < GetParam() && !missed) {
        if (std::chrono::steady_clock::now() > deadline) missed = true;
        std::this_thread::yield();
      }
    });
    ASSERT_FALSE(missed) << "only " << arrived << " of " << GetParam() << " threads came";
  }
}

void spin_for(std::chrono::microseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {
  }
}

// Two threads, and a second caller enters while the worker helps the first: the worker must leave at the end of its
// range, and come back when the second caller has gone. `second_caller` calls its argument while it counts as at work.
template <typename SecondCaller>
void expect_room_made(SecondCaller second_caller) {
  enum Phase { kWorkerAwaited, kSecondMayEnter, kSecondIsIn, kSecondLeaves, kSecondHasLeft, kWorkerIsBack };
  ComputePool pool(2);
  std::atomic<int> phase{kWorkerAwaited}, worker_ranges_beside_both{0};
  const auto first = std::this_thread::get_id();
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  std::thread second([&] {
    while (phase != kSecondMayEnter && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    second_caller(pool, [&] {
      phase = kSecondIsIn;
      std::this_thread::sleep_for(20ms);
      phase = kSecondLeaves;
    });
    phase = kSecondHasLeft;
  });
  pool.parallel_for(1 << 20, 1, [&](int64_t, int64_t) {
    if (phase == kWorkerIsBack || std::chrono::steady_clock::now() > deadline) return;
    if (std::this_thread::get_id() != first) {
      if (phase == kWorkerAwaited) phase = kSecondMayEnter;
      if (phase == kSecondIsIn) worker_ranges_beside_both.fetch_add(1);
      if (phase == kSecondHasLeft) phase = kWorkerIsBack;
    }
    spin_for(20us);
  });
  second.join();
  EXPECT_EQ(phase, kWorkerIsBack) << "the worker did not come, or not come back";
  EXPECT_LE(worker_ranges_beside_both, 1) << "ranges that it began while both callers computed";
}

TEST(ComputePool, WorkersMakeRoomForCallersAndComeBack) {
  expect_room_made([](ComputePool& pool, auto stay) {
    pool.parallel_for(3, 1, [&, self = std::this_thread::get_id()](int64_t begin, int64_t) {
      if (std::this_thread::get_id() == self && begin == 0) stay();
    });
  });
}

TEST(ComputePool, AComputationKeepsItsPlaceBetweenItsCalls) {
  expect_room_made([](ComputePool& pool, auto stay) {
    const ComputePool::Computation computation(pool);
    pool.parallel_for(3, 1, [](int64_t, int64_t) {});
    const ComputePool::Computation nested(pool);
    stay();
  });
}

TEST(ComputePool, CreatedAndDestroyedAtOnce) {
  for (int repeat = 0; repeat < 200; ++repeat) {
    ComputePool pool(1 + repeat % 5);
    if (repeat % 3 != 0) expect_covers(pool, 10, 1);
  }
}

TEST(ComputePool, ABodyMayCreateAPool) {
  ComputePool pool(3);
  pool.parallel_for(6, 1, [](int64_t, int64_t) {
    ComputePool own(2);
    expect_covers(own, 9, 2);
  });
}

TEST(ComputePool, WorkersHaveNames) {
  ComputePool pool(2);
  std::mutex mutex;
  std::set<std::string> names;
  std::atomic<int> arrived{0};
  pool.parallel_for(2, 1, [&](int64_t, int64_t) {
    arrived.fetch_add(1);
    while (arrived < 2) std::this_thread::yield();
    char name[16];
    pthread_getname_np(pthread_self(), name, sizeof(name));
    const std::lock_guard lock(mutex);
    names.insert(name);
  });
  EXPECT_EQ(names.count("remuda-cpu-1"), 1u);
}

TEST(ComputePool, HugeGrainsAndCountsDoNotOverflow) {
  ComputePool pool(2);
  std::atomic<int64_t> sum{0};
  pool.parallel_for(10, INT64_MAX, [&](int64_t begin, int64_t end) { sum += end - begin; });
  EXPECT_EQ(sum, 10);
  sum = 0;
  pool.parallel_for(INT64_MAX, INT64_MAX / 2, [&](int64_t begin, int64_t end) { sum += end - begin; });
  EXPECT_EQ(sum, INT64_MAX);
  sum = 0;
  pool.parallel_for(3, 0, [&](int64_t begin, int64_t end) { sum += end - begin; });
  EXPECT_EQ(sum, 3);
}

TEST(ComputePool, NegativeThreadsAreAnError) {
  EXPECT_THROW(ComputePool(-1), Error);
  EXPECT_THROW(ComputePool::configure_global(-1), Error);
}

TEST(ComputePool, TheGlobalPoolIsConfiguredOnce) {
  ComputePool::configure_global(3);
  ComputePool& pool = ComputePool::global();
  EXPECT_EQ(pool.threads(), 3);
  EXPECT_EQ(&ComputePool::global(), &pool);
  ComputePool::configure_global(3);
  EXPECT_THROW(ComputePool::configure_global(2), Error);
  expect_covers(pool, 100, 3);
}

// The thread sanitizer ends the child of a process with threads when it starts a thread of its own.
#if !defined(REMUDA_THREAD_SANITIZER)
TEST(ComputePool, AForkedChildComputesAlone) {
  ComputePool pool(3);
  expect_covers(pool, 100, 1);
  ComputePool* parent_global = &ComputePool::global();
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(20);        // A child that hangs on a lock must not hang the test.
    int64_t sum = 0;  // Not atomic: the old pool has no workers here.
    pool.parallel_for(100, 1, [&](int64_t begin, int64_t end) { sum += end - begin; });
    std::atomic<int64_t> global_sum{0};
    ComputePool& global = ComputePool::global();
    global.parallel_for(100, 1, [&](int64_t begin, int64_t end) { global_sum += end - begin; });
    _exit(sum == 100 && global_sum == 100 && &global != parent_global ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  expect_covers(pool, 100, 1);
}
#endif

TEST(AvailableThreads, FollowsTheAffinityMask) {
  cpu_set_t before, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  EXPECT_GE(available_threads(), 1);
  EXPECT_LE(available_threads(), CPU_COUNT(&before));
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &before)) continue;
    CPU_SET(cpu, &one);
    break;
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  EXPECT_EQ(available_threads(), 1);
  ASSERT_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
}

}  // namespace
}  // namespace remuda
