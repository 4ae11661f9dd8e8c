#include "remuda/model_manager.h"

#include <map>
#include <optional>
#include <string>

#include "device/devices.h"
#include "device/gpu_arena.h"
#include "manager/placement.h"

namespace remuda {
namespace {

// False for what lies on a device that has failed since.
bool device_works(const ModelInstance& instance) {
  const std::string& id = instance.metadata().device;
  if (id == kCpuDevice) return true;
  const std::optional<Device> device = current_device(id);
  return device && device->problem.empty();
}

}  // namespace

void add_gpu_memory(PoolStats& stats) {
  std::map<std::string, GpuArenaStats> arenas;
  for (const auto& [device, instances] : stats.by_device) {
    if (device == kCpuDevice) continue;
    if (arenas.empty()) arenas = GpuArena::all_stats();
    const GpuArenaStats memory = arenas[device];
    stats.gpu_memory[device] = {.allocated = memory.allocated, .reserved = memory.reserved};
  }
}

PoolOptions pool_options(const Settings& settings, std::string name,
                         std::shared_ptr<const std::atomic<uint64_t>> fallbacks) {
  PoolOptions options;
  options.fallbacks = std::move(fallbacks);
  options.name = std::move(name);
  options.max_instances = settings.model_pool_max_instances;
  options.enabled = settings.model_pool_enabled;
  options.leak_threshold = settings.leak_threshold;
  options.idle_ttl = settings.idle_ttl;
  options.max_lifetime = settings.max_lifetime;
  options.min_idle = settings.min_idle;
  options.max_waiting = settings.max_waiting;
  if (!is_cpu_alone(settings)) options.is_healthy = device_works;
  return options;
}

}  // namespace remuda
