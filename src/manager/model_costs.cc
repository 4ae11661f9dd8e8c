#include "manager/model_costs.h"

#include <algorithm>
#include <array>
#include <optional>

#include "manager/inspection.h"

namespace remuda {
namespace {

// A GPU computes less at once where its memory is smaller than a batch of the default size, down to `least`.
MemoryCost in_room_of(const Device& device, MemoryCost cost, const MemoryCost& least) {
  if (device.kind == DeviceKind::kCpu) return cost;
  const uint64_t left = device.memory_available - std::min(device.memory_available, cost.shared_weights);
  cost.workspace = std::clamp(left, least.workspace, cost.workspace);
  return cost;
}

template <typename Info>
std::vector<PrecisionCost> costs_of(const Info& info, const Device& device) {
  constexpr int64_t kLeast = 1;  // A text's tokens, or a document, at a time.
  std::vector<PrecisionCost> costs;
  const bool gpu = device.kind == DeviceKind::kGpu;
  for (const Precision precision : gpu ? std::array{Precision::kFp32, Precision::kFp16, Precision::kBf16}
                                       : std::array{Precision::kFp32, Precision::kBf16, Precision::kInt8}) {
    const MemoryCost memory = in_room_of(device, estimate_memory(info, precision, std::nullopt, device.kind),
                                         estimate_memory(info, precision, kLeast, device.kind));
    const uint64_t available = device.memory_available;
    const uint64_t left = available > memory.shared_weights ? available - memory.shared_weights : 0;
    costs.push_back({precision, memory, memory.workspace > 0 ? left / memory.workspace : 0});
  }
  return costs;
}

}  // namespace

std::vector<Device> devices_for_models() {
  MachineReport machine = describe_machine();
  std::erase_if(machine.devices, [](const Device& device) { return !device.problem.empty(); });
  for (Device& device : machine.devices) {
    const bool cpu = device.kind == DeviceKind::kCpu;
    device.memory_available = cpu ? std::min(device.memory_available, machine.memory_limit) : memory_limit_on(device);
  }
  return std::move(machine.devices);
}

std::vector<PrecisionCost> precision_costs(const EmbeddingModelInfo& info, const Device& device) {
  return costs_of(info, device);
}

std::vector<PrecisionCost> precision_costs(const SummarizationModelInfo& info, const Device& device) {
  return costs_of(info, device);
}

}  // namespace remuda
