// Deadlines, and turns. Bounds hold on a machine that does other work; `remuda bench pool` has the figures.
#include <algorithm>
#include <vector>

#include "pool/pool_test_support.h"

namespace remuda::pool_test {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::duration_cast;
using std::chrono::microseconds;

TEST(PoolTiming, TimeoutsFireSoonAfterTheirDeadlineAndNeverBefore) {
  constexpr int kTimes = 40;
  std::atomic<int> live{0};
  Pool pool({.max_instances = 1}, counting_factory(live));
  const Lease<Counted> held = pool.acquire();
  std::vector<microseconds> late;
  for (int i = 0; i < kTimes; ++i) {
    const microseconds timeout(200 + 137 * i);
    const Clock::time_point deadline = Clock::now() + timeout;
    AcquireOptions options{.timeout = timeout};
    if (i % 2 == 1) options.cancelled = [] { return false; };  // Wakes in between, which must not make it late.
    EXPECT_THROW(pool.acquire(options), TimeoutError);
    late.push_back(duration_cast<microseconds>(Clock::now() - deadline));
  }
  std::ranges::sort(late);
  EXPECT_GE(late.front(), microseconds(0));
  EXPECT_LT(late[kTimes / 2], milliseconds(5));  // The machine may be busy with something else now and then.
}

// As many turns for each thread, as far as the machine lets them come back for one: everybody has the same number of
// others before him.
TEST(PoolTiming, ThreadsHaveTheirTurnsEvenly) {
  constexpr int kThreads = 64;
  std::atomic<int> live{0};
  Pool pool({.max_instances = 4}, counting_factory(live));
  std::atomic<bool> ending{false};
  std::vector<int64_t> turns(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      while (!ending) {
        const Lease<Counted> lease = pool.acquire({.timeout = kPatience});
        ++turns[static_cast<size_t>(t)];
        std::this_thread::sleep_for(microseconds(100));
      }
    });
  }
  std::this_thread::sleep_for(seconds(1));
  ending = true;
  for (std::thread& thread : threads) thread.join();
  int64_t sum = 0;
  for (const int64_t count : turns) sum += count;
  const double mean = static_cast<double>(sum) / kThreads;
  EXPECT_GE(static_cast<double>(std::ranges::min(turns)), 0.6 * mean);
  EXPECT_LE(static_cast<double>(std::ranges::max(turns)), 1.6 * mean + 2);
}

// A stream of urgent callers that never ends, and one who can wait, but not for ever.
TEST(PoolTiming, ABulkCallerIsServedBetweenUrgentOnes) {
  std::atomic<int> live{0};
  Pool pool({.max_instances = 1}, counting_factory(live));
  std::atomic<bool> ending{false};
  std::vector<std::thread> urgent;
  for (int t = 0; t < 4; ++t) {
    urgent.emplace_back([&] {
      while (!ending) pool.acquire({.timeout = kPatience, .priority = Priority::kInteractive});
    });
  }
  for (int i = 0; i < 20; ++i) {
    EXPECT_NO_THROW(pool.acquire({.timeout = kPatience, .priority = Priority::kBulk}));
  }
  ending = true;
  for (std::thread& thread : urgent) thread.join();
}

}  // namespace
}  // namespace remuda::pool_test
