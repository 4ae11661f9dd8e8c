// What this process has resident, for tests that hold memory against what was promised.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>

namespace remuda {

// A line of /proc/self/status that is in kB, in bytes: "VmRSS", or "VmHWM", the most since reset_peak().
inline uint64_t status_bytes(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(field + ":")) return std::stoull(line.substr(field.size() + 1)) * 1024;
  }
  return 0;
}

inline void reset_peak() { std::ofstream("/proc/self/clear_refs") << 5; }

}  // namespace remuda
