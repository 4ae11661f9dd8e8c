#include "cli/format.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>

#include "base/log.h"

namespace remuda::cli {

std::string with_commas(int64_t value) {
  std::string text = fmt::format("{}", value);
  const int64_t sign = value < 0 ? 1 : 0;
  for (auto at = static_cast<int64_t>(text.size()) - 3; at > sign; at -= 3) text.insert(at, ",");
  return text;
}

std::string human_bytes(uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024; ++unit) value /= 1024;
  return fmt::format("{:.{}f} {}", value, unit == 0 ? 0 : 1, kUnits[unit]);
}

std::string human_duration(std::chrono::nanoseconds duration) {
  const double seconds = std::chrono::duration<double>(duration).count();
  if (seconds < 1e-3) return fmt::format("{:.0f} us", seconds * 1e6);
  return seconds < 1 ? fmt::format("{:.1f} ms", seconds * 1e3) : fmt::format("{:.1f} s", seconds);
}

std::string human_seconds(double seconds) {
  const auto whole = static_cast<int64_t>(seconds);
  const int64_t minutes = whole / 60;
  if (minutes < 60) return fmt::format("{}:{:02}", minutes, whole % 60);
  return fmt::format("{}:{:02}:{:02}", minutes / 60, minutes % 60, whole % 60);
}

// VmHWM and not getrusage's ru_maxrss, which counts what the process was before it became this program.
uint64_t peak_rss_bytes() {
  std::ifstream status("/proc/self/status");
  constexpr std::string_view kKey = "VmHWM:";
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(kKey)) return std::strtoull(line.c_str() + kKey.size(), nullptr, 10) * 1024;
  }
  return 0;
}

bool is_terminal(int fd) { return isatty(fd) == 1; }

void say(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

void warn(std::string_view message) {
  if (log::enabled(log::Level::kWarning)) say(fmt::format("remuda: warning: {}\n", message));
}

}  // namespace remuda::cli
