// The benchmarks of `remuda bench`, a file each, and what they have in common.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "cli/commands.h"
#include "remuda/settings.h"

namespace remuda::cli {

void add_bench_embed(CLI::App& bench, Action& action);
void add_bench_summarize(CLI::App& bench, Action& action);
void add_bench_pool(CLI::App& bench, Action& action);

struct BenchFlags {
  double seconds = 3;
  bool json = false;
};

// --seconds and --json.
void add_bench_flags(CLI::App& command, BenchFlags& flags, const char* what_is_measured_so_long);

// --callers.
void add_callers(CLI::App& command, int64_t& callers, const char* work);

// What computes.
struct Computing {
  std::string isa;
  int threads = 0;
};
Computing describe_computing(const Settings& settings);

// How long another instance of a loaded model takes, in milliseconds; none where the pool has no room for two.
template <typename Manager>
std::optional<double> measure_second_instance(Manager& manager) {
  const auto first = manager.acquire();
  const auto start = std::chrono::steady_clock::now();
  const auto second = manager.try_acquire();
  const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - start;
  return second ? std::optional(taken.count()) : std::nullopt;
}

// "  load         48 ms, another instance 0.02 ms"
void print_load(double load_ms, const std::optional<double>& second_instance_ms);

}  // namespace remuda::cli
