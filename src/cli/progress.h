// A line on stderr that tells how far a long run is, on terminals only.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace remuda::cli {

class Progress {
 public:
  // `total_bytes` of input, where known, gives share and time left. `what` is counted: "texts".
  Progress(std::optional<uint64_t> total_bytes, const char* what);
  // Clears the line.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Cheap: redraws a few times a second.
  void update(int64_t done, uint64_t bytes_done);

 private:
  using Clock = std::chrono::steady_clock;

  const std::optional<uint64_t> total_bytes_;
  const char* const what_;
  const bool shown_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point next_ = start_ + std::chrono::milliseconds(500);  // Short runs show nothing.
  bool drawn_ = false;
};

}  // namespace remuda::cli
