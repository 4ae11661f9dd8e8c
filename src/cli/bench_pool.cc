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
  handing over        an instance goes to and fro between two threads that wait for
                      it, beside the same with a bare mutex and condition variable
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

constexpr int kTurns = 2000;

// Nanoseconds of a turn, where two threads do `turns(0)` and `turns(1)`, kTurns each.
template <typename Turns>
double measure_two(const Turns& turns) {
  const Clock::time_point start = Clock::now();
  std::thread other([&] { turns(1); });
  turns(0);
  other.join();
  return Nanoseconds(Clock::now() - start).count() / (2 * kTurns);
}

double measure_pool_turns() {
  Pool pool({.name = "bench", .max_instances = 1}, make_instance);
  pool.warm_up();
  return measure_two([&](int) {
    for (int i = 0; i < kTurns; ++i) pool.acquire();
  });
}

double measure_bare_turns() {
  std::mutex mutex;
  std::array<std::condition_variable, 2> changed;
  int turn = 0;
  return measure_two([&](int self) {
    for (int i = 0; i < kTurns; ++i) {
      std::unique_lock lock(mutex);
      changed[self].wait(lock, [&] { return turn == self; });
      turn = 1 - self;
      changed[1 - self].notify_one();
    }
  });
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
    pool.push_back(measure_pool_turns());
    bare.push_back(measure_bare_turns());
  });
  return {median(std::move(pool)), median(std::move(bare))};
}

struct Turns {
  double leases_per_s = 0;
  double fewest_of_mean = 0;
};

Turns measure_turns(std::chrono::duration<double> duration) {
  Pool pool({.name = "bench", .max_instances = kInstances}, make_instance);
  std::array<int64_t, kThreads> turns{};
  std::atomic<bool> started{false};
  std::atomic<bool> ending{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      started.wait(false);
      while (!ending) {
        const Lease<ModelInstance> lease = pool.acquire();
        ++turns[t];
      }
    });
  }
  const Clock::time_point start = Clock::now();
  started = true;
  started.notify_all();
  std::this_thread::sleep_for(duration);
  ending = true;
  for (std::thread& thread : threads) thread.join();
  const auto sum = static_cast<double>(std::accumulate(turns.begin(), turns.end(), int64_t{0}));
  return {sum / std::chrono::duration<double>(Clock::now() - start).count(),
          static_cast<double>(std::ranges::min(turns)) / (sum / kThreads)};
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
