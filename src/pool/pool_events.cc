#include "remuda/pool_events.h"

#include <fmt/format.h>

#include <iterator>

namespace remuda {
namespace {

// With quotes, backslashes and control characters escaped, so that an event stays one line.
void append_quoted(std::string& line, std::string_view key, std::string_view text) {
  fmt::format_to(std::back_inserter(line), " {}=\"", key);
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      line += {'\\', c};
    } else if (c == '\n') {
      line += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      fmt::format_to(std::back_inserter(line), "\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      line += c;
    }
  }
  line += '"';
}

}  // namespace

std::string_view to_string(DestroyReason reason) {
  switch (reason) {
    case DestroyReason::kAfterUse:
      return "after_use";
    case DestroyReason::kDiscarded:
      return "discarded";
    case DestroyReason::kUnhealthy:
      return "unhealthy";
    case DestroyReason::kIdle:
      return "idle";
    case DestroyReason::kOld:
      return "old";
    case DestroyReason::kWornOut:
      return "worn_out";
    case DestroyReason::kEvicted:
      return "evicted";
    case DestroyReason::kShrunk:
      return "shrunk";
    case DestroyReason::kResized:
      return "resized";
    case DestroyReason::kCleanup:
      return "cleanup";
    case DestroyReason::kClosed:
      return "closed";
    case DestroyReason::kLost:
      return "lost";
    case DestroyReason::kFailed:
      return "failed";
    case DestroyReason::kMoved:
      return "moved";
  }
  return "unknown";
}

std::string_view to_string(PoolEvent::Kind kind) {
  switch (kind) {
    case PoolEvent::Kind::kAcquire:
      return "acquire";
    case PoolEvent::Kind::kRelease:
      return "release";
    case PoolEvent::Kind::kCreate:
      return "create";
    case PoolEvent::Kind::kCreateFailed:
      return "create_failed";
    case PoolEvent::Kind::kDestroy:
      return "destroy";
    case PoolEvent::Kind::kTimeout:
      return "timeout";
    case PoolEvent::Kind::kCancel:
      return "cancel";
    case PoolEvent::Kind::kOverload:
      return "overload";
    case PoolEvent::Kind::kLeak:
      return "leak";
  }
  return "unknown";
}

std::string to_string(const PoolEvent& event) {
  std::string line = fmt::format("event={}", to_string(event.kind));
  const auto end = std::back_inserter(line);
  if (event.instance_id != 0) fmt::format_to(end, " instance={}", event.instance_id);
  if (event.thread != 0) fmt::format_to(end, " thread={}", event.thread);
  if (!event.label.empty()) append_quoted(line, "label", event.label);
  if (event.reason) fmt::format_to(end, " reason={}", to_string(*event.reason));
  fmt::format_to(end, " ms={:.3f}", std::chrono::duration<double, std::milli>(event.duration).count());
  if (!event.detail.empty()) append_quoted(line, "detail", event.detail);
  return line;
}

}  // namespace remuda
