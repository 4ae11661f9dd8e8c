// What happens in a pool, for those who want to see it happen: PoolOptions::on_event, and the debug log.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace remuda {

enum class DestroyReason {
  kAfterUse,   // AcquireOptions::destroy_after_use, or a pool that is not enabled.
  kDiscarded,  // Lease::discard.
  kUnhealthy,  // PoolOptions::is_healthy said so, or threw.
  kIdle,       // PoolOptions::idle_ttl.
  kOld,        // PoolOptions::max_lifetime.
  kWornOut,    // PoolOptions::max_uses.
  kEvicted,
  kShrunk,
  kResized,
  kCleanup,
  kClosed,
  kLost,    // Its GPU is lost to this process.
  kFailed,  // ModelInstance::mark_failed.
  kMoved,   // ModelInstance::move_when says that there is room in a better place.
};

struct PoolEvent {
  enum class Kind {
    kAcquire,       // duration: from the call to the lease.
    kRelease,       // duration: of the lease.
    kCreate,        // duration: of making the instance.
    kCreateFailed,  // duration: of the attempt; detail: why.
    kDestroy,       // duration: of destroying the instance; reason: why.
    kTimeout,       // duration: of the wait, also in the next two.
    kCancel,
    kOverload,
    kLeak,  // duration: of the lease so far.
  };

  Kind kind = Kind::kAcquire;
  std::string_view pool = {};   // Its name. Text here is good for as long as the call that passes the event.
  uint64_t instance_id = 0;     // 0: of none.
  int64_t thread = 0;           // Of the lease's or the wait's caller; 0: of none.
  std::string_view label = {};  // As above.
  std::chrono::nanoseconds duration{0};
  std::optional<DestroyReason> reason = std::nullopt;
  std::string_view detail = {};
};

// "after_use", "discarded", ...
std::string_view to_string(DestroyReason reason);
// "acquire", "create_failed", ...
std::string_view to_string(PoolEvent::Kind kind);
// One line of key=value: `event=acquire instance=3 thread=4711 label="report" ms=0.012`.
std::string to_string(const PoolEvent& event);

}  // namespace remuda
