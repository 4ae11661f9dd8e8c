#include "remuda/model_manager.h"

#include <optional>

#include "device/devices.h"

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

PoolOptions pool_options(const Settings& settings, std::string name) {
  PoolOptions options;
  options.name = std::move(name);
  options.max_instances = settings.model_pool_max_instances;
  options.enabled = settings.model_pool_enabled;
  options.leak_threshold = settings.leak_threshold;
  options.idle_ttl = settings.idle_ttl;
  options.max_lifetime = settings.max_lifetime;
  options.min_idle = settings.min_idle;
  options.max_waiting = settings.max_waiting;
  if (!settings.masx_force_cpu) options.is_healthy = device_works;
  return options;
}

}  // namespace remuda
