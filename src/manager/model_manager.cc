#include "remuda/model_manager.h"

namespace remuda {

PoolOptions pool_options(const Settings& settings, std::string name) {
  PoolOptions options;
  options.name = std::move(name);
  options.max_instances = settings.model_pool_max_instances;
  options.enabled = settings.model_pool_enabled;
  options.leak_threshold = settings.leak_threshold;
  options.idle_ttl = settings.idle_ttl;
  return options;
}

}  // namespace remuda
