// What is logged, for tests that count it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"

namespace remuda {

// Warnings and errors go here as long as it lives; one at a time.
class LoggedLines {
 public:
  LoggedLines() {
    clear();
    log::set_sink([](log::Level level, std::string_view message) {
      if (level < log::Level::kWarning) return;
      const std::lock_guard lock(lines().mutex);
      lines().all.emplace_back(message);
    });
  }
  ~LoggedLines() { log::set_sink(nullptr); }
  LoggedLines(const LoggedLines&) = delete;
  LoggedLines& operator=(const LoggedLines&) = delete;

  void clear() {
    const std::lock_guard lock(lines().mutex);
    lines().all.clear();
  }
  int64_t count(std::string_view part) const {
    const std::lock_guard lock(lines().mutex);
    return std::ranges::count_if(lines().all,
                                 [part](const std::string& line) { return line.find(part) != std::string::npos; });
  }
  std::vector<std::string> all() const {
    const std::lock_guard lock(lines().mutex);
    return lines().all;
  }

 private:
  struct Lines {
    std::mutex mutex;
    std::vector<std::string> all;  // Guarded by mutex.
  };
  static Lines& lines() {
    static Lines lines;
    return lines;
  }
};

}  // namespace remuda
