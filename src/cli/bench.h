// The benchmarks of `remuda bench`, a file each, and what they have in common.
#pragma once

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

// What computes.
struct Computing {
  std::string isa;
  int threads = 0;
};
Computing describe_computing(const Settings& settings);

}  // namespace remuda::cli
