#include "remuda/snapshot.h"

#include "device/devices.h"
#include "device/gpu_arena.h"
#include "manager/managed_pool.h"
#include "manager/residency.h"

namespace remuda {

namespace {

std::vector<DeviceSnapshot> describe(const std::vector<Device>& devices) {
  const auto arenas = GpuArena::all_stats();
  std::vector<DeviceSnapshot> all;
  for (const Device& device : devices) {
    const auto arena = arenas.find(device.id);
    const GpuArenaStats memory = arena == arenas.end() ? GpuArenaStats() : arena->second;
    all.push_back({.id = device.id,
                   .name = device.name,
                   .memory_total = device.memory_total,
                   .memory_available = device.memory_available,
                   .problem = device.problem,
                   .memory_allocated = memory.allocated,
                   .memory_reserved = memory.reserved});
  }
  return all;
}

}  // namespace

std::vector<DeviceSnapshot> gpu_memory() {
  std::vector<Device> devices = current_devices();
  std::erase_if(devices, [](const Device& device) { return device.kind != DeviceKind::kGpu; });
  return describe(devices);
}

ProcessSnapshot snapshot() {
  ProcessSnapshot snapshot;
  snapshot.devices = describe(known_devices());
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
