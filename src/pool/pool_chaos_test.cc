// Thirty-two threads do at random whatever can be done to a pool, while making instances fails, memory runs out and the
// device is lost. At every moment the counts add up, no instance is with two callers, and in the end all are gone.
//
// Runs for 2 s, or for as many as the environment variable REMUDA_CHAOS_SECONDS says. Seeds are fixed; the scheduling
// of threads is not.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "base/log.h"
#include "pool/pool_test_support.h"

namespace remuda::pool_test {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;

constexpr int kThreads = 32;
constexpr int64_t kMostInstances = 6;
constexpr milliseconds kRoundTime{400};

// A pool's options, of a kind that each round draws anew.
PoolOptions draw_options(std::mt19937& random) {
  const auto maybe = [&random](auto value) { return random() % 2 == 0 ? std::nullopt : std::optional(value); };
  PoolOptions options;
  options.name = "chaos";
  options.max_instances = 1 + random() % kMostInstances;
  options.max_creations = 1 + random() % 3;
  options.enabled = random() % 8 != 0;
  options.leak_threshold = microseconds(50 + random() % 2000);
  options.idle_ttl = maybe(microseconds(20 + random() % 1000));
  options.max_lifetime = maybe(microseconds(100 + random() % 3000));
  options.max_uses = maybe(static_cast<int64_t>(1 + random() % 20));
  options.min_idle = std::min<int64_t>(random() % 3, options.max_instances);
  options.max_waiting = maybe(static_cast<int64_t>(random() % kThreads));
  return options;
}

struct Interrupted {};

// Ends the process where what should end in its lifetime hangs.
class Watchdog {
 public:
  explicit Watchdog(uint32_t seed)
      : thread_([seed](const std::stop_token& stop) {
          const Clock::time_point end = Clock::now() + kPatience;
          while (!stop.stop_requested()) {
            if (Clock::now() > end) {
              std::printf("a thread hangs in the pool, seed %u\n", seed);
              std::fflush(stdout);
              std::abort();
            }
            std::this_thread::sleep_for(milliseconds(5));
          }
        }) {}

 private:
  std::jthread thread_;
};

// One pool and its threads.
class Round {
 public:
  explicit Round(uint32_t seed) : seed_(seed) {
    std::mt19937 random(seed);
    PoolOptions options = draw_options(random);
    bounded_ = options.enabled;
    fit_ = static_cast<int>(1 + random() % kMostInstances);
    ends_by_closing_ = random() % 2 == 0;
    options.is_healthy = [this](ModelInstance&) {
      if (device_lost_ && ++health_checks_ % 2 == 0) throw std::runtime_error("device lost");
      return !device_lost_;
    };
    options.on_event = [this](const PoolEvent& event) { count(event); };
    pool_ = std::make_unique<Pool>(std::move(options), [this] { return make(); });
  }

  void run() {
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) threads.emplace_back([this, t] { work(t); });
    std::this_thread::sleep_for(kRoundTime);
    const Watchdog watchdog(seed_);
    if (ends_by_closing_) pool_->close();
    ending_ = true;
    for (std::thread& thread : threads) thread.join();
    const PoolStats stats = pool_->get_pool_stats();
    EXPECT_EQ(stats.in_use + stats.waiting, 0);
    EXPECT_EQ(stats.acquires, acquired_.load());
    pool_.reset();
    EXPECT_EQ(live_, 0) << "seed " << seed_;
    EXPECT_EQ(created_, destroyed_);
    EXPECT_EQ(acquired_, released_);
    EXPECT_GT(acquired_, 0U);
  }

 private:
  std::unique_ptr<Counted> make() {
    const uint32_t number = ++makings_;
    if (device_lost_) throw std::runtime_error("device lost");
    if (number % 13 == 0) throw std::runtime_error("damaged file");
    if (number % 17 == 0 || live_ >= fit_) throw OutOfMemory("no room");
    if (number % 3 == 0) std::this_thread::sleep_for(microseconds(number % 200));
    return std::make_unique<Counted>(live_);
  }

  void count(const PoolEvent& event) {
    if (event.kind == PoolEvent::Kind::kCreate) ++created_;
    if (event.kind == PoolEvent::Kind::kDestroy) ++destroyed_;
    if (event.kind == PoolEvent::Kind::kAcquire) ++acquired_;
    if (event.kind == PoolEvent::Kind::kRelease) ++released_;
    if (event.instance_id % 64 == 63) throw std::runtime_error("a hook that fails");
  }

  void check() {
    const PoolStats stats = pool_->get_pool_stats();
    const bool adds_up =
        stats.available >= 0 && stats.in_use >= 0 && stats.creating >= 0 && stats.destroying >= 0 &&
        stats.total == stats.available + stats.in_use + stats.creating &&
        static_cast<int64_t>(stats.created - stats.destroyed) == stats.available + stats.in_use + stats.destroying &&
        stats.memory_private == 10 * static_cast<uint64_t>(stats.available + stats.in_use) &&
        (!bounded_ || stats.total + stats.destroying <= kMostInstances) && stats.waiting < kThreads;
    EXPECT_TRUE(adds_up) << "seed " << seed_ << ": " << stats.available << " available, " << stats.in_use << " in use, "
                         << stats.creating << " creating, " << stats.destroying << " destroying, " << stats.total
                         << " in all, " << stats.created << " created, " << stats.destroyed << " destroyed, "
                         << stats.waiting << " waiting";
  }

  void work(int thread) {
    std::mt19937 random(seed_ * 1000 + static_cast<uint32_t>(thread));
    while (!ending_) {
      try {
        random() % 4 == 0 ? tend(random) : lease(thread, random);
        check();
      } catch (const PoolClosed&) {
        break;
      } catch (const Error&) {  // Timeouts, cancellations, a full queue, no memory: all of them are life.
      } catch (const std::runtime_error&) {
      } catch (const Interrupted&) {
      }
    }
  }

  // What an operator or a memory budget does.
  void tend(std::mt19937& random) {
    switch (random() % 10) {
      case 0:
        return static_cast<void>(pool_->shrink(random() % 3));
      case 1:
        return pool_->resize(1 + random() % kMostInstances);
      case 2:
        return static_cast<void>(pool_->cleanup());
      case 3:
        return static_cast<void>(pool_->cleanup(microseconds(random() % 300)));
      case 4:
        return static_cast<void>(pool_->evict_idle(Clock::now() - microseconds(random() % 200)));
      case 5:
        return pool_->warm_up();
      case 6:
        device_lost_ = random() % 4 == 0;
        return;
      case 7:
        return static_cast<void>(pool_->leaks());
      case 8: {
        const Clock::time_point last_use = pool_->least_recent_use().value_or(Clock::time_point::min());
        EXPECT_LE(last_use, Clock::now());
        return;
      }
      default:
        const std::lock_guard lock(stops_mutex_);
        stops_[random() % kThreads].request_stop();
    }
  }

  // What a caller does.
  void lease(int thread, std::mt19937& random) {
    AcquireOptions options = draw_acquire(thread, random);
    const uint32_t how = random() % 8;
    if (how == 0) {
      if (std::optional<Lease<Counted>> lease = pool_->try_acquire()) use(**lease, random);
    } else if (how == 1) {
      Counted* instance = pool_->get_instance(options.timeout);
      use(*instance, random);
      pool_->release_instance(instance);
    } else {
      Lease<Counted> lease = pool_->acquire(options);
      use(*lease, random);
      if (how == 2) lease.discard();
      Lease<Counted> moved = std::move(lease);
      if (how == 3) tend(random);
    }
  }

  AcquireOptions draw_acquire(int thread, std::mt19937& random) {
    AcquireOptions options;
    if (random() % 8 != 0) options.timeout = microseconds(random() % 3000);
    options.destroy_after_use = random() % 16 == 0;
    options.priority = static_cast<Priority>(random() % 3);
    options.label = "thread";
    if (random() % 2 == 0) {
      const std::lock_guard lock(stops_mutex_);
      stops_[static_cast<size_t>(thread)] = std::stop_source();
      options.stop_token = stops_[static_cast<size_t>(thread)].get_token();
    }
    const uint32_t impatience = random() % 16;
    if (impatience == 0) options.cancelled = [] { return true; };
    if (impatience == 1) options.cancelled = []() -> bool { throw Interrupted(); };
    return options;
  }

  void use(Counted& instance, std::mt19937& random) {
    EXPECT_EQ(++instance.users, 1) << "an instance with two callers, seed " << seed_;
    const uint32_t how_long = random() % 8;
    if (how_long == 0) std::this_thread::sleep_for(microseconds(random() % 200));
    if (how_long == 1) std::this_thread::yield();
    --instance.users;
  }

  const uint32_t seed_;
  bool bounded_ = true;
  bool ends_by_closing_ = false;
  int fit_ = 0;
  std::atomic<int> live_{0};
  std::atomic<bool> device_lost_{false};
  std::atomic<uint32_t> makings_{0};
  std::atomic<uint32_t> health_checks_{0};
  std::atomic<uint64_t> created_{0};
  std::atomic<uint64_t> destroyed_{0};
  std::atomic<uint64_t> acquired_{0};
  std::atomic<uint64_t> released_{0};
  std::atomic<bool> ending_{false};
  std::mutex stops_mutex_;
  std::array<std::stop_source, kThreads> stops_;
  std::unique_ptr<Pool> pool_;
};

TEST(PoolChaos, CountsAddUpAndNothingIsLostOrHangs) {
  const char* asked = std::getenv("REMUDA_CHAOS_SECONDS");
  const std::chrono::duration<double> duration(asked == nullptr ? 2 : std::atof(asked));
  const Clock::time_point end = Clock::now() + std::chrono::duration_cast<Clock::duration>(duration);
  log::set_level(log::Level::kOff);  // Leaks and failures by the thousand.
  for (uint32_t seed = 1; Clock::now() < end && !testing::Test::HasFailure(); ++seed) Round(seed).run();
  log::set_level(log::Level::kWarning);
}

}  // namespace
}  // namespace remuda::pool_test
