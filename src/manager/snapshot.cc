#include "remuda/snapshot.h"

#include "device/devices.h"
#include "manager/managed_pool.h"
#include "manager/residency.h"

namespace remuda {

ProcessSnapshot snapshot() {
  ProcessSnapshot snapshot;
  for (const Device& device : known_devices()) {
    snapshot.devices.push_back({.id = device.id,
                                .name = device.name,
                                .memory_total = device.memory_total,
                                .memory_available = device.memory_available,
                                .problem = device.problem});
  }
  snapshot.budgets = MemoryBudget::all_stats();
  for (const auto& residency : Residency::all()) {
    WeightsSnapshot weights = residency->snapshot();
    if (weights.bytes > 0) snapshot.weights.push_back(std::move(weights));
  }
  for (const auto& pool : ManagedPool::all()) {
    if (auto stats = pool->stats()) snapshot.pools.push_back(std::move(*stats));
  }
  return snapshot;
}

}  // namespace remuda
