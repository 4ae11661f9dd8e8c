// Where a model's next instance goes, by what devices have free and what settings ask for.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>

#include "device/devices.h"
#include "remuda/memory_cost.h"
#include "remuda/settings.h"

namespace remuda {

struct PlacementRequest {
  std::string model;                         // For messages.
  MemoryCost gpu_cost = {};                  // At the precision that a GPU computes in.
  std::map<std::string, int64_t> instances;  // Of the model, by device; where there are some, the weights are there.
  bool force_cpu = false;
  bool force_gpu = false;
  std::optional<std::string> device = {};  // Only this GPU, by its id.
  Fallback fallback = Fallback::kPrefer;
};

struct Place {
  std::string device;
  std::string fell_back = {};  // Why it is the CPU where a GPU was wanted; empty: it is what was wanted.
};

// The request of a manager with these settings.
PlacementRequest placement_request(const Settings& settings, std::string model, const MemoryCost& gpu_cost);

// The device for one more instance. Of several GPUs the one that has most memory free where it fits: the weights,
// unless they are there already, and a workspace. Where it fits on none, `fallback` decides:
//   require  nothing: the pool has what it can have; OutOfMemory where it has no instance yet
//   prefer   the CPU, with a warning, as long as no GPU has an instance; else nothing
//   spill    the CPU
// Nothing means that callers wait for the instances that there are. `devices` is as they are now, the CPU among them.
// Throws Error(kUnsupported) where a GPU is demanded and there is none that works, naming those that don't.
std::optional<Place> next_place(const PlacementRequest& request, std::span<const Device> devices);

// How many more instances fit on a device: as many workspaces as are free beside the weights.
int64_t instances_that_fit(const MemoryCost& cost, uint64_t available, bool has_weights);

}  // namespace remuda
