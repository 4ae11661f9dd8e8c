// remuda bench: what models, and the pool that holds them, do on this machine.
#include "cli/bench.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "manager/inspection.h"

namespace remuda::cli {

void add_bench_flags(CLI::App& command, BenchFlags& flags, const char* what_is_measured_so_long) {
  constexpr double kMostSeconds = 3600;
  command.add_flag("--json", flags.json, "Print JSON");
  command.add_option("--seconds", flags.seconds, fmt::format("How long to measure {} [3]", what_is_measured_so_long))
      ->option_text("S")
      ->check(CLI::Range(0.0, kMostSeconds));
}

void add_callers(CLI::App& command, int64_t& callers, const char* work) {
  constexpr int64_t kMost = 1024;
  command.add_option("--callers", callers, fmt::format("Measure so many threads with {} at a time each, too", work))
      ->option_text("N")
      ->check(CLI::Range(int64_t{1}, kMost));
}

void print_load(double load_ms, const std::optional<double>& second_instance_ms) {
  fmt::print("  load         {:.0f} ms", load_ms);
  if (second_instance_ms) fmt::print(", another instance {:.2f} ms", *second_instance_ms);
  fmt::print("\n");
}

Computing describe_computing(const Settings& settings) {
  const MachineReport machine = describe_machine();
  return {machine.active_instruction_set,
          settings.compute_threads > 0 ? static_cast<int>(settings.compute_threads) : machine.devices.front().threads};
}

void add_bench(CLI::App& app, Action& action) {
  CLI::App& bench = *app.add_subcommand("bench", "Throughput and latency on this machine");
  bench.require_subcommand(1);
  bench.footer("");
  add_bench_embed(bench, action);
  add_bench_summarize(bench, action);
  add_bench_pool(bench, action);
}

}  // namespace remuda::cli
