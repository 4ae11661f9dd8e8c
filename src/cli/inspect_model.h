// `remuda inspect` by kind of model, a file each.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "cli/format.h"
#include "manager/inspection.h"
#include "remuda/memory_cost.h"
#include "remuda/precision.h"

namespace remuda::cli {

// On these devices, the CPU first; of each, memory_available is what models may take.
void show_embedding_model(const std::string& name, std::span<const Device> devices, bool json);
void show_summarization_model(const std::string& name, std::span<const Device> devices, bool json);

// What a model takes at a precision.
struct Cost {
  Precision precision;
  MemoryCost memory;
  // Instances that fit into the memory available now; they share the weights.
  uint64_t instances;
};

// One for each precision that the device has, of `estimate(precision)`.
template <typename Estimate>
std::vector<Cost> costs(const Device& device, Estimate estimate) {
  std::vector<Cost> result;
  const bool gpu = device.kind == DeviceKind::kGpu;
  for (const Precision precision : gpu ? std::array{Precision::kFp32, Precision::kFp16, Precision::kBf16}
                                       : std::array{Precision::kFp32, Precision::kBf16, Precision::kInt8}) {
    const MemoryCost memory = estimate(precision);
    const uint64_t available = device.memory_available;
    const uint64_t left = available > memory.shared_weights ? available - memory.shared_weights : 0;
    result.push_back({precision, memory, memory.workspace > 0 ? left / memory.workspace : 0});
  }
  return result;
}

// A GPU computes less at once where its memory is smaller than a batch of the default size, down to `least`.
inline MemoryCost in_room_of(const Device& device, MemoryCost cost, const MemoryCost& least) {
  if (device.kind == DeviceKind::kCpu) return cost;
  const uint64_t left = device.memory_available - std::min(device.memory_available, cost.shared_weights);
  cost.workspace = std::clamp(left, least.workspace, cost.workspace);
  return cost;
}

// "cuda:0 (NVIDIA H100): 70 GiB for models"
inline std::string heading(const Device& device) {
  return fmt::format("{} ({}): {} for models", device.id, device.name, human_bytes(device.memory_available));
}

// What `precisions(gpu)` says of each GPU.
template <typename Precisions>
nlohmann::ordered_json gpus_json(std::span<const Device> devices, Precisions precisions) {
  nlohmann::ordered_json gpus = nlohmann::ordered_json::array();
  for (const Device& device : devices) {
    if (device.kind != DeviceKind::kGpu) continue;
    gpus.push_back({{"device", device.id},
                    {"name", device.name},
                    {"memory_limit", device.memory_available},
                    {"precisions", precisions(device)}});
  }
  return gpus;
}

}  // namespace remuda::cli
