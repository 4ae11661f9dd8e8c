// Logging to stderr, one line an event. Thread-safe.
#pragma once

#include <fmt/core.h>

#include <string_view>
#include <utility>

namespace remuda::log {

enum class Level { kDebug, kInfo, kWarning, kError, kOff };

// Events below the level cost one atomic load. The default is kWarning.
void set_level(Level level);
bool enabled(Level level);

// "debug", "info", "warning", "error", "off". Throws Error(kInvalidArgument) naming `what`.
Level parse_level(std::string_view text, std::string_view what);

void write(Level level, std::string_view message);

// Where events go instead of to stderr; null: to stderr again. Called on whatever thread has something to say, on
// several at once, and maybe while that thread holds locks: it must neither wait nor call back.
using Sink = void (*)(Level level, std::string_view message);
void set_sink(Sink sink);

template <typename... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::kDebug)) write(Level::kDebug, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::kInfo)) write(Level::kInfo, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::kWarning)) write(Level::kWarning, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::kError)) write(Level::kError, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace remuda::log
