// What remuda takes of each device's memory, and what it does when that is full.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace remuda {

// A device's budget at one moment; bytes.
struct MemoryBudgetStats {
  std::string device;
  uint64_t limit = 0;                  // In force: the smaller of the next two.
  std::optional<uint64_t> configured;  // The smallest memory_limit of the managers that there are.
  std::optional<uint64_t>
      found;             // What the device has for this process, less a headroom; looked at anew with every load.
  uint64_t used = 0;     // The sum of the next three.
  uint64_t weights = 0;  // In memory of remuda's own.
  uint64_t mapped_weights = 0;  // Of files, shared with other processes and with the page cache.
  uint64_t workspaces = 0;      // Of computations, caches of documents, and what is kept for the next.
  uint64_t peak = 0;            // The most that was used at once.
  int64_t models = 0;           // Whose weights are there.
  int64_t waiting = 0;          // Callers that wait for memory.
  uint64_t loads = 0;           // Of weights.
  uint64_t evictions = 0;       // Idle instances destroyed to make room.
  uint64_t drains = 0;          // Models in steady use that had to make room for one that waited.
  uint64_t refusals = 0;        // OutOfMemory and timeouts.
  uint64_t retries = 0;         // Of those evictions: because the device had less than the budget knew of.
};

// Something that happened to a device's memory.
struct MemoryEvent {
  enum class Kind { kLoaded, kUnloaded, kEvicted, kDrained, kRefused };

  Kind kind = Kind::kLoaded;
  std::string device;
  std::string what;                      // The model, or what else memory was asked for.
  uint64_t bytes = 0;                    // That were taken, given back or asked for.
  std::chrono::nanoseconds duration{0};  // Of the load, of the residence, or of the wait.
};

// "loaded", "unloaded", "evicted", "drained", "refused".
std::string_view to_string(MemoryEvent::Kind kind);

// Calls `hook` with every event from now on, in the thread in which it happens, without a lock of remuda's; an empty
// function ends that. What it throws is logged and goes no further. Thread-safe; one hook for the process.
void on_memory_event(std::function<void(const MemoryEvent&)> hook);

}  // namespace remuda
