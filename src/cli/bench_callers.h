// How calls of several threads, each with one text, compare with one call that has all the texts.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace remuda::cli {

struct CallersFigures {
  int64_t callers = 0;
  double joined_per_s = 0;    // Texts, by callers with one text at a time each.
  double one_call_per_s = 0;  // Texts, by one caller with all of them at a time.
  double in_turn_per_s = 0;   // Texts, by one caller with one text at a time.
  // Of the callers' calls.
  double p50_ms = 0;
  double p99_ms = 0;
  double longest_ms = 0;
  double slowest_caller = 0;  // The longest mean of a caller's calls, by the median of all calls.
};

struct CallersWork {
  int64_t callers = 0;
  double seconds = 0;                       // For each of the three, in turn, in several rounds.
  std::function<void(int64_t number)> one;  // A call with one text; thread-safe.
  std::function<int64_t()> all;             // One call with all texts; returns how many.
  std::function<bool()> cancelled;
};

// Throws what the calls throw.
CallersFigures measure_callers(const CallersWork& work);

nlohmann::ordered_json to_json(const CallersFigures& figures);
// Some lines; unit: "texts".
void print_callers(const CallersFigures& figures, const std::string& unit);

}  // namespace remuda::cli
