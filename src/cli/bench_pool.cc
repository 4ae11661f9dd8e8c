// remuda bench pool: what a lease costs, how fair the queue is, how punctual timeouts are. No model is involved.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <nlohmann/json.hpp>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include "base/fail.h"
#include "cli/bench.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "remuda/model_manager.h"

namespace remuda::cli {
namespace {

using Clock = std::chrono::steady_clock;
using Nanoseconds = std::chrono::duration<double, std::nano>;

constexpr const char* kHelp = R"(
Measured with instances that are nothing but themselves:
  acquire + release   on one thread, with nobody else about (median of many rounds)
  handing over        from the release on one thread to the lease on another that waits,
                      beside a bare mutex and condition variable (medians)
  turns               64 threads want 4 instances: how many turns the thread with
                      the fewest had, as a share of the mean
  timeouts            how long after its deadline a wait ended

Examples:
  remuda bench pool
  remuda bench pool --json --seconds 10)";

constexpr int kThreads = 64;
constexpr int64_t kInstances = 4;

using Pool = ModelPool<ModelInstance>;

std::unique_ptr<ModelInstance> make_instance() { return std::make_unique<ModelInstance>(ModelMetadata{}); }

double median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2));
  return values[values.size() / 2];
}

// Again and again for `duration`, at least once; stops where the user asks for it.
template <typename Round>
void repeat_for(std::chrono::duration<double> duration, const Round& round) {
  const Clock::time_point start = Clock::now();
  do {
    if (interrupted()) fail(ErrorCode::kCancelled, "the benchmark was cancelled");
    round();
  } while (Clock::now() - start < duration);
}

// Until so many threads stand in the queue, so that what is measured begins with all of them.
void wait_for_queue(const Pool& pool, int64_t threads) {
  do {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  } while (pool.get_pool_stats().waiting < threads);
}

// Nanoseconds of an acquire and its release.
double measure_lease(std::chrono::duration<double> duration) {
  constexpr int kLeases = 10000;
  Pool pool({.name = "bench", .max_instances = 1}, make_instance);
  pool.warm_up();
  std::vector<double> rounds;
  repeat_for(duration, [&] {
    const Clock::time_point start = Clock::now();
    for (int i = 0; i < kLeases; ++i) pool.acquire();
    rounds.push_back(Nanoseconds(Clock::now() - start).count() / kLeases);
  });
  return median(std::move(rounds));
}

// Nanoseconds from one thread's release to the lease of another that slept in the queue.
double measure_pool_handover() {
  Pool pool({.name = "bench", .max_instances = 1}, make_instance);
  Lease<ModelInstance> held = pool.acquire();
  Clock::time_point got;
  std::jthread waiter([&] {
    const Lease<ModelInstance> lease = pool.acquire();
    got = Clock::now();
  });
  wait_for_queue(pool, 1);
  const Clock::time_point start = Clock::now();
  held.release();
  waiter.join();
  return Nanoseconds(got - start).count();
}

// The same of a flag.
double measure_bare_handover() {
  std::mutex mutex;
  std::condition_variable changed;
  bool is_waiting = false;
  bool is_free = false;
  Clock::time_point got;
  std::jthread waiter([&] {
    std::unique_lock lock(mutex);
    is_waiting = true;
    changed.wait(lock, [&] { return is_free; });
    got = Clock::now();
  });
  for (bool asleep = false; !asleep;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const std::lock_guard lock(mutex);
    asleep = is_waiting;
  }
  const Clock::time_point start = Clock::now();
  {
    const std::lock_guard lock(mutex);
    is_free = true;
  }
  changed.notify_one();
  waiter.join();
  return Nanoseconds(got - start).count();
}

struct Handover {
  double pool_ns = 0;
  double bare_ns = 0;
};

// In turn, so that both meet the same machine.
Handover measure_handover(std::chrono::duration<double> duration) {
  std::vector<double> pool;
  std::vector<double> bare;
  repeat_for(duration, [&] {
    pool.push_back(measure_pool_handover());
    bare.push_back(measure_bare_handover());
  });
  return {median(std::move(pool)), median(std::move(bare))};
}

struct Turns {
  double leases_per_s = 0;
  double fewest_of_mean = 0;
};

Turns measure_turns(std::chrono::duration<double> duration) {
  Pool pool({.name = "bench", .max_instances = kInstances}, make_instance);
  std::vector<Lease<ModelInstance>> held;
  for (int64_t i = 0; i < kInstances; ++i) held.push_back(pool.acquire());
  std::array<int64_t, kThreads> turns{};
  std::atomic<bool> ending{false};
  std::vector<std::jthread> threads;
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      while (!ending) {
        const Lease<ModelInstance> lease = pool.acquire();
        ++turns[t];
      }
    });
  }
  wait_for_queue(pool, kThreads);
  const Clock::time_point start = Clock::now();
  held.clear();
  std::this_thread::sleep_for(duration);
  ending = true;
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  for (std::jthread& thread : threads) thread.join();
  const auto sum = static_cast<double>(std::accumulate(turns.begin(), turns.end(), int64_t{0}));
  return {sum / seconds, static_cast<double>(std::ranges::min(turns)) / (sum / kThreads)};
}

// Milliseconds after the deadline.
struct Lateness {
  double least = 0;
  double median = 0;
  double most = 0;
};

Lateness measure_timeouts(std::chrono::duration<double> duration) {
  constexpr std::chrono::milliseconds kTimeout{2};
  Pool pool({.name = "bench", .max_instances = 1}, make_instance);
  const Lease<ModelInstance> held = pool.acquire();
  std::vector<double> late;
  repeat_for(duration, [&] {
    const Clock::time_point deadline = Clock::now() + kTimeout;
    try {
      pool.acquire({.timeout = kTimeout});
    } catch (const TimeoutError&) {
    }
    late.push_back(Nanoseconds(Clock::now() - deadline).count() / 1e6);
  });
  return {std::ranges::min(late), median(late), std::ranges::max(late)};
}

struct PoolReport {
  double lease_ns = 0;
  Handover handover;
  Turns turns;
  Lateness timeouts;
};

void print_json(const PoolReport& report) {
  const nlohmann::ordered_json json = {{"acquire_release_ns", report.lease_ns},
                                       {"handover_ns", report.handover.pool_ns},
                                       {"bare_handover_ns", report.handover.bare_ns},
                                       {"handover_ratio", report.handover.pool_ns / report.handover.bare_ns},
                                       {"threads", kThreads},
                                       {"instances", kInstances},
                                       {"leases_per_s", report.turns.leases_per_s},
                                       {"fewest_turns_of_mean", report.turns.fewest_of_mean},
                                       {"timeout_late_least_ms", report.timeouts.least},
                                       {"timeout_late_p50_ms", report.timeouts.median},
                                       {"timeout_late_most_ms", report.timeouts.most}};
  fmt::print("{}\n", json.dump(2));
}

void print_text(const PoolReport& report) {
  const auto& [pool_ns, bare_ns] = report.handover;
  fmt::print("acquire + release  {:.0f} ns\n", report.lease_ns);
  fmt::print("handing over       {:.1f} us, {:.2f} times a bare mutex and condition variable ({:.1f} us)\n",
             pool_ns / 1e3, pool_ns / bare_ns, bare_ns / 1e3);
  fmt::print("turns              {} threads on {} instances: {} leases/s, the fewest {:.2f} of the mean\n", kThreads,
             kInstances, with_commas(static_cast<int64_t>(report.turns.leases_per_s)), report.turns.fewest_of_mean);
  fmt::print("timeouts           {:.2f} to {:.2f} ms after the deadline, half within {:.2f}\n", report.timeouts.least,
             report.timeouts.most, report.timeouts.median);
}

int bench_pool(const BenchFlags& flags) {
  catch_interrupts();
  const std::chrono::duration<double> each(flags.seconds / 4);
  PoolReport report;
  report.lease_ns = measure_lease(each);
  report.handover = measure_handover(each);
  report.turns = measure_turns(each);
  report.timeouts = measure_timeouts(each);
  flags.json ? print_json(report) : print_text(report);
  return kSuccess;
}

}  // namespace

void add_bench_pool(CLI::App& bench, Action& action) {
  auto flags = std::make_shared<BenchFlags>();
  CLI::App& command = *bench.add_subcommand("pool", "Of the pool itself");
  add_bench_flags(command, *flags, "in all");
  command.footer(kHelp + 1);
  command.callback([flags, &action] { action = [flags] { return bench_pool(*flags); }; });
}

}  // namespace remuda::cli
