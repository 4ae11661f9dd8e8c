#include "manager/placement.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

#include "base/fail.h"

namespace remuda {
namespace {

bool is_wanted(const PlacementRequest& request, const Device& device) {
  return device.kind == DeviceKind::kGpu && (!request.device || *request.device == device.id);
}

int64_t instances_on(const PlacementRequest& request, const std::string& device) {
  const auto found = request.instances.find(device);
  return found == request.instances.end() ? 0 : found->second;
}

// "cuda:0 has 1024 bytes available", "cuda:1 fell off the bus".
std::string describe(std::span<const Device> devices, const PlacementRequest& request) {
  std::vector<std::string> parts;
  for (const Device& device : devices) {
    if (!is_wanted(request, device)) continue;
    parts.push_back(device.problem.empty()
                        ? fmt::format("{} has {} bytes available", device.id, device.memory_available)
                        : fmt::format("{} can't be used: {}", device.id, device.problem));
  }
  return fmt::format("{}", fmt::join(parts, "; "));
}

// The GPU with most memory free of those on which it fits; null where it fits on none.
const Device* roomiest(const PlacementRequest& request, std::span<const Device> devices) {
  const Device* best = nullptr;
  for (const Device& device : devices) {
    if (!is_wanted(request, device) || !device.problem.empty()) continue;
    const bool has_weights = instances_on(request, device.id) > 0;
    if (instances_that_fit(request.gpu_cost, device.memory_available, has_weights) < 1) continue;
    if (best == nullptr || device.memory_available > best->memory_available) best = &device;
  }
  return best;
}

}  // namespace

PlacementRequest placement_request(const Settings& settings, std::string model, const MemoryCost& gpu_cost) {
  PlacementRequest request;
  request.model = std::move(model);
  request.gpu_cost = gpu_cost;
  request.force_cpu = settings.masx_force_cpu;
  request.force_gpu = settings.masx_force_gpu;
  request.fallback = settings.fallback;
  return request;
}

int64_t instances_that_fit(const MemoryCost& cost, uint64_t available, bool has_weights) {
  const uint64_t weights = has_weights ? 0 : cost.shared_weights + cost.loading;
  if (available < weights) return 0;
  const uint64_t room = (available - weights) / std::max<uint64_t>(cost.workspace, 1);
  return static_cast<int64_t>(std::min<uint64_t>(room, INT64_MAX));
}

std::optional<Place> next_place(const PlacementRequest& request, std::span<const Device> devices) {
  const Place cpu{.device = "cpu"};
  if (request.force_cpu) return cpu;
  const auto works = [&](const Device& device) { return is_wanted(request, device) && device.problem.empty(); };
  if (std::ranges::none_of(devices, works)) {
    const std::string found = describe(devices, request);
    if (!request.force_gpu && !request.device) {
      if (found.empty()) return cpu;  // A machine without GPUs: nothing was fallen back from.
    } else {
      fail(ErrorCode::kUnsupported,
           "{}: a GPU is demanded ({}), and there is none that this process can compute on{}{}", request.model,
           request.device.value_or("masx_force_gpu"), found.empty() ? "" : ": ", found);
    }
  }
  if (const Device* gpu = roomiest(request, devices)) return Place{.device = gpu->id};

  const std::string why = fmt::format("{}: needs {} bytes of weights and {} of workspace on a GPU; {}", request.model,
                                      request.gpu_cost.shared_weights + request.gpu_cost.loading,
                                      request.gpu_cost.workspace, describe(devices, request));
  const auto on_gpus = std::ranges::count_if(devices, [&](const Device& device) {
    return is_wanted(request, device) && instances_on(request, device.id) > 0;
  });
  switch (request.fallback) {
    case Fallback::kRequire:
      if (on_gpus > 0) return std::nullopt;
      throw OutOfMemory(why + "; free some, use a smaller precision, or set fallback to prefer or spill");
    case Fallback::kPrefer:
      if (on_gpus > 0) return std::nullopt;
      break;
    case Fallback::kSpill:
      break;
  }
  return Place{.device = "cpu", .fell_back = why};
}

}  // namespace remuda
