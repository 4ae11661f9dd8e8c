// Everything that remuda has in this process, at one moment: for dashboards, and for finding out who has the memory.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "remuda/memory_budget.h"
#include "remuda/pool_stats.h"

namespace remuda {

// A model's weights, one copy for all who use it.
struct WeightsSnapshot {
  std::string what;  // The model and its precision.
  std::string device;
  uint64_t bytes = 0;
  uint64_t mapped_bytes = 0;  // Of those, pages of files that other processes may share.
  int64_t pools = 0;          // Of managers that use it.
  bool pinned = false;
  std::chrono::nanoseconds load_time{0};
  std::chrono::nanoseconds age{0};  // Since it was loaded.
};

struct DeviceSnapshot {
  std::string id;
  std::string name;
  uint64_t memory_total = 0;
  uint64_t memory_available = 0;
  std::string problem;            // Why it can't be used; empty: it can.
  uint64_t memory_allocated = 0;  // Of a GPU, by this process: weights and what is computed with.
  uint64_t memory_reserved = 0;   // Of a GPU, by this process: that, and what is kept of the driver's for the next.
};

struct ProcessSnapshot {
  std::vector<DeviceSnapshot> devices;     // GPUs once anybody looked for them: that takes a driver's start.
  std::vector<MemoryBudgetStats> budgets;  // Of devices that something was asked of.
  std::vector<WeightsSnapshot> weights;    // In the order of loading.
  std::vector<PoolStats> pools;            // Of managers, in the order of their making.
};

// Each part is consistent in itself; what changes meanwhile may be in one and not in another. Thread-safe. Takes some
// microseconds a pool, and holds nobody up.
ProcessSnapshot snapshot();

// The GPUs, as snapshot() has them, and looked for if nobody did before, which takes a driver's start: up to seconds.
// Empty where there are none.
std::vector<DeviceSnapshot> gpu_memory();

}  // namespace remuda
