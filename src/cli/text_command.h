// What the commands have in common that turn texts into results, a line a text.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "cli/text_reader.h"
#include "remuda/model_manager.h"
#include "remuda/precision.h"

namespace remuda::cli {

double milliseconds_since(std::chrono::steady_clock::time_point start);

// Where a person is to type the input, says so on stderr.
void invite_typing(const TextReaderOptions& input, const char* what);

void warn_of_invalid_utf8(int64_t sequences);

struct RunStats {
  double load_ms;
  Precision precision;
  std::string device;
  PoolStats pool;
};

// A line of JSON on stderr: a command's own figures, then these.
void print_run_stats(nlohmann::ordered_json figures, const RunStats& stats);

// The exit code of a run of which `done` texts are written. Rethrows the failure, if there is one.
int end_run(const std::exception_ptr& failure, int64_t done, const char* what);

}  // namespace remuda::cli
