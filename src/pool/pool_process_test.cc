// What the process does to its pools: it forks, it ends, its clock is set.
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <functional>
#include <vector>

#include "pool/housekeeper.h"
#include "pool/pool_test_support.h"

#ifndef REMUDA_THREAD_SANITIZER  // It can't follow a fork of a process with threads, and has a clock of its own.

namespace {

std::atomic<int64_t> system_clock_seconds_ahead{0};

}  // namespace

// The C library's, for this program: std::chrono's clocks ask it. The system clock's answer can be set ahead.
extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
  const auto result = static_cast<int>(syscall(SYS_clock_gettime, clock, time));
  if (clock == CLOCK_REALTIME) time->tv_sec += system_clock_seconds_ahead.load();
  return result;
}

namespace remuda::pool_test {
namespace {

using Clock = std::chrono::steady_clock;

// Whether `check` holds in a child of this process, within seconds.
testing::AssertionResult holds_in_a_child(const std::function<bool()>& check) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);  // Hanging is failing.
    bool holds = false;
    try {
      holds = check();
    } catch (...) {
    }
    _exit(holds ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return testing::AssertionSuccess();
  return testing::AssertionFailure() << (WIFSIGNALED(status) ? "killed by signal " : "exited with ")
                                     << (WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

bool refuses_the_child(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code() == ErrorCode::kUnsupported &&
           std::string(error.what()).find("make a new one after forking") != std::string::npos;
  }
  return false;
}

TEST(PoolFork, EveryCallInTheChildIsAClearErrorAtOnce) {
  std::atomic<int> live{0};
  Pool pool({.max_instances = 2}, counting_factory(live));
  Counted* raw = pool.get_instance();
  pool.acquire();
  EXPECT_TRUE(holds_in_a_child([&] { return refuses_the_child([&] { pool.acquire(); }); }));
  EXPECT_TRUE(holds_in_a_child([&] { return refuses_the_child([&] { pool.try_acquire(); }); }));
  EXPECT_TRUE(holds_in_a_child([&] { return refuses_the_child([&] { pool.get_instance(); }); }));
  EXPECT_TRUE(holds_in_a_child([&] { return refuses_the_child([&] { pool.release_instance(raw); }); }));
  EXPECT_TRUE(holds_in_a_child([&] { return refuses_the_child([&] { pool.cleanup(); }); }));
  EXPECT_TRUE(holds_in_a_child([&] { return refuses_the_child([&] { pool.resize(3); }); }));
  EXPECT_TRUE(holds_in_a_child([&] { return refuses_the_child([&] { pool.get_pool_stats(); }); }));
  EXPECT_NO_THROW(pool.acquire());  // The parent's is as it was.
}

// Threads that hold the pool's lock, wait in its queue or make its instances when the process forks: none of it may
// hang the child, which has their locks and not them.
TEST(PoolFork, TheChildOfABusyParentHangsInNothing) {
  std::atomic<int> live{0};
  std::atomic<bool> ending{false};
  auto pool = std::make_unique<Pool>(PoolOptions{.max_instances = 2, .idle_ttl = std::chrono::microseconds(50)},
                                     counting_factory(live));
  std::optional<Lease<Counted>> held = pool->acquire();
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      while (!ending) {
        try {
          pool->acquire({.timeout = std::chrono::microseconds(200)});
          pool->cleanup(std::chrono::microseconds(100));
        } catch (const TimeoutError&) {
        }
      }
    });
  }
  for (int round = 0; round < 50; ++round) {
    ASSERT_TRUE(holds_in_a_child([&] {
      const bool refused = refuses_the_child([&] { pool->acquire(); });
      held.reset();
      pool.reset();
      std::atomic<int> own{0};
      Pool mine({.max_instances = 1, .idle_ttl = milliseconds(1)}, counting_factory(own));
      mine.acquire();
      while (own != 0) std::this_thread::sleep_for(milliseconds(1));  // Housekeeping works here too.
      return refused;
    }));
  }
  ending = true;
  for (std::thread& thread : threads) thread.join();
}

// exit() with the housekeeping thread asleep and a pool that is never destroyed.
TEST(PoolProcess, EndsWhileAPoolIsInUse) {
  EXPECT_EXIT(
      {
        static std::atomic<int> live{0};
        auto* pool = new Pool({.idle_ttl = seconds(100), .min_idle = 1}, counting_factory(live));
        pool->warm_up();
        auto* lease = new Lease<Counted>(pool->acquire());
        static_cast<void>(lease);
        alarm(20);
        exit(3);
      },
      testing::ExitedWithCode(3), "");
}

TEST(PoolProcess, ASystemClockThatJumpsChangesNothing) {
  std::atomic<int> live{0};
  Pool pool({.max_instances = 1,
             .leak_threshold = std::chrono::hours(1),
             .idle_ttl = std::chrono::hours(1),
             .max_lifetime = std::chrono::hours(2)},
            counting_factory(live));
  for (const int64_t jump : {int64_t{1000000}, int64_t{-1000000}}) {
    const auto before = std::chrono::system_clock::now();
    Lease<Counted> held = pool.acquire();
    const uint64_t id = held->metadata().id;
    system_clock_seconds_ahead = jump;
    EXPECT_GT(std::chrono::abs(std::chrono::system_clock::now() - before), std::chrono::hours(24));
    const Clock::time_point start = Clock::now();
    EXPECT_THROW(pool.acquire({.timeout = milliseconds(30)}), TimeoutError);
    EXPECT_GE(Clock::now() - start, milliseconds(30));
    EXPECT_LT(Clock::now() - start, kPatience);
    held.release();
    EXPECT_EQ(pool.acquire()->metadata().id, id);
    EXPECT_EQ(pool.get_pool_stats().leaks, 0);
    EXPECT_TRUE(pool.evict_idle(Clock::now()));
    system_clock_seconds_ahead = 0;
  }
}

}  // namespace
}  // namespace remuda::pool_test

#endif
