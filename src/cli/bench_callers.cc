#include "cli/bench_callers.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <nlohmann/json.hpp>
#include <numeric>
#include <thread>
#include <vector>

#include "base/seconds_since.h"

namespace remuda::cli {
namespace {

using Clock = std::chrono::steady_clock;

struct Count {
  int64_t texts = 0;
  double seconds = 0;
  double per_s() const { return static_cast<double>(texts) / seconds; }
};

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

class Measurement {
 public:
  explicit Measurement(const CallersWork& work) : work_(work), waits_(static_cast<size_t>(work.callers)) {}

  CallersFigures run() {
    // In rounds, so that what else the machine does concerns all three alike.
    constexpr int kRounds = 4;
    const double seconds = work_.seconds / kRounds;
    work_.all();
    Count joined, one_call, in_turn;
    for (int round = 0; round < kRounds && !work_.cancelled(); ++round) {
      repeat(one_call, seconds, work_.all);
      run_callers(joined, seconds);
      repeat(in_turn, seconds, [this] {
        work_.one(next_++);
        return int64_t{1};
      });
    }
    return figures(joined, one_call, in_turn);
  }

 private:
  template <typename Call>
  void repeat(Count& count, double seconds, Call call) const {
    const Clock::time_point start = Clock::now();
    do count.texts += call();
    while (seconds_since(start) < seconds && !work_.cancelled());
    count.seconds += seconds_since(start);
  }

  void run_callers(Count& count, double seconds) {
    const Clock::time_point start = Clock::now();
    std::atomic<int64_t> done = 0;
    std::exception_ptr error;
    std::mutex mutex;
    std::vector<std::thread> threads;
    for (int64_t caller = 0; caller < work_.callers; ++caller) {
      threads.emplace_back([&, caller] {
        try {
          do {
            const Clock::time_point call = Clock::now();
            work_.one(next_++);
            waits_[static_cast<size_t>(caller)].push_back(seconds_since(call));
            ++done;
          } while (seconds_since(start) < seconds && !work_.cancelled());
        } catch (...) {
          const std::lock_guard lock(mutex);
          error = std::current_exception();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    if (error != nullptr) std::rethrow_exception(error);
    count.texts += done;
    count.seconds += seconds_since(start);
  }

  CallersFigures figures(const Count& joined, const Count& one_call, const Count& in_turn) const {
    CallersFigures result{.callers = work_.callers,
                          .joined_per_s = joined.per_s(),
                          .one_call_per_s = one_call.per_s(),
                          .in_turn_per_s = in_turn.per_s()};
    std::vector<double> all;
    double slowest = 0;
    for (const std::vector<double>& waits : waits_) {
      all.insert(all.end(), waits.begin(), waits.end());
      if (!waits.empty()) slowest = std::max(slowest, mean(waits));
    }
    if (all.empty()) return result;
    std::ranges::sort(all);
    const auto at = [&all](double share) {
      return all[static_cast<size_t>(share * static_cast<double>(all.size() - 1))];
    };
    result.p50_ms = at(0.5) * 1e3;
    result.p99_ms = at(0.99) * 1e3;
    result.longest_ms = all.back() * 1e3;
    result.slowest_caller = slowest / at(0.5);
    return result;
  }

  const CallersWork& work_;
  std::atomic<int64_t> next_ = 0;
  std::vector<std::vector<double>> waits_;  // Of each caller's calls.
};

}  // namespace

CallersFigures measure_callers(const CallersWork& work) { return Measurement(work).run(); }

nlohmann::ordered_json to_json(const CallersFigures& figures) {
  return {{"callers", figures.callers},
          {"joined_per_s", figures.joined_per_s},
          {"one_call_per_s", figures.one_call_per_s},
          {"in_turn_per_s", figures.in_turn_per_s},
          {"joined_by_one_call", figures.joined_per_s / figures.one_call_per_s},
          {"joined_by_in_turn", figures.joined_per_s / figures.in_turn_per_s},
          {"p50_ms", figures.p50_ms},
          {"p99_ms", figures.p99_ms},
          {"longest_ms", figures.longest_ms},
          {"longest_by_p50", figures.longest_ms / figures.p50_ms},
          {"slowest_caller_by_p50", figures.slowest_caller}};
}

void print_callers(const CallersFigures& figures, const std::string& unit) {
  fmt::print("  {} callers\n", figures.callers);
  fmt::print(
      "    joined     {:.1f} {}/s, {:.2f} of one call with all ({:.1f}), {:.2f} of one after the other ({:.1f})\n",
      figures.joined_per_s, unit, figures.joined_per_s / figures.one_call_per_s, figures.one_call_per_s,
      figures.joined_per_s / figures.in_turn_per_s, figures.in_turn_per_s);
  fmt::print(
      "    a call     p50 {:.2f} ms, p99 {:.2f} ms, longest {:.2f} ms ({:.1f} of p50); slowest caller's mean {:.2f} "
      "of p50\n",
      figures.p50_ms, figures.p99_ms, figures.longest_ms, figures.longest_ms / figures.p50_ms, figures.slowest_caller);
}

}  // namespace remuda::cli
