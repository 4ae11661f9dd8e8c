#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <array>
#include <atomic>
#include <memory>

#include "base/fail.h"

namespace remuda::log {
namespace {

constexpr std::array<std::pair<std::string_view, Level>, 5> kLevels = {{
    {"debug", Level::kDebug},
    {"info", Level::kInfo},
    {"warning", Level::kWarning},
    {"error", Level::kError},
    {"off", Level::kOff},
}};

spdlog::level::level_enum native(Level level) {
  switch (level) {
    case Level::kDebug:
      return spdlog::level::debug;
    case Level::kInfo:
      return spdlog::level::info;
    case Level::kWarning:
      return spdlog::level::warn;
    case Level::kError:
      return spdlog::level::err;
    case Level::kOff:
      break;
  }
  return spdlog::level::off;
}

// Never destroyed: threads may log while the process exits.
spdlog::logger& logger() {
  static spdlog::logger* const instance = [] {
    auto* made = new spdlog::logger("remuda", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    made->set_pattern("%Y-%m-%d %H:%M:%S.%e %^%l%$ %n: %v");
    made->set_level(spdlog::level::warn);
    return made;
  }();
  return *instance;
}

std::atomic<Sink> replaced{nullptr};

}  // namespace

void set_level(Level level) { logger().set_level(native(level)); }

bool enabled(Level level) { return logger().should_log(native(level)); }

Level parse_level(std::string_view text, std::string_view what) {
  for (const auto& [name, level] : kLevels) {
    if (text == name) return level;
  }
  fail(ErrorCode::kInvalidArgument, "{}: expected debug, info, warning, error or off, found \"{}\"", what, text);
}

void set_sink(Sink sink) { replaced.store(sink); }

void write(Level level, std::string_view message) {
  if (const Sink sink = replaced.load()) {
    sink(level, message);
    return;
  }
  logger().log(native(level), spdlog::string_view_t(message.data(), message.size()));
}

}  // namespace remuda::log
