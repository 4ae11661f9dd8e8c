#include "cli/progress.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>

#include "cli/format.h"

namespace remuda::cli {
namespace {

constexpr const char* kClearLine = "\r\x1b[K";

}  // namespace

Progress::Progress(std::optional<uint64_t> total_bytes, const char* what)
    : total_bytes_(total_bytes), what_(what), shown_(is_terminal(STDERR_FILENO)) {}

Progress::~Progress() {
  if (drawn_) say(kClearLine);
}

void Progress::update(int64_t done, uint64_t bytes_done) {
  const Clock::time_point now = Clock::now();
  if (!shown_ || now < next_) return;
  next_ = now + std::chrono::milliseconds(200);
  drawn_ = true;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const double rate = static_cast<double>(done) / seconds;
  const std::string per_second = rate < 10 ? fmt::format("{:.1f}", rate) : with_commas(static_cast<int64_t>(rate));
  std::string line = fmt::format("{} {}  {}/s  {}", with_commas(done), what_, per_second, human_seconds(seconds));
  if (total_bytes_ && *total_bytes_ > 0 && bytes_done > 0) {
    constexpr size_t kWidth = 24;
    const double share = std::min(1.0, static_cast<double>(bytes_done) / static_cast<double>(*total_bytes_));
    const auto filled = static_cast<size_t>(share * kWidth);
    line += fmt::format("  [{}{}] {:3.0f}%  {} left", std::string(filled, '='), std::string(kWidth - filled, ' '),
                        share * 100, human_seconds(seconds / share * (1 - share)));
  }
  say(kClearLine + line);
}

}  // namespace remuda::cli
