// `remuda inspect` by kind of model, a file each.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "manager/inspection.h"
#include "remuda/memory_cost.h"
#include "remuda/precision.h"

namespace remuda::cli {

void show_embedding_model(const std::string& name, const Device& device, bool json);
void show_summarization_model(const std::string& name, const Device& device, bool json);

// What a model takes at a precision.
struct Cost {
  Precision precision;
  MemoryCost memory;
  // Instances that fit into the memory available now; they share the weights.
  uint64_t instances;
};

// One for each precision of `estimate(precision)`.
template <typename Estimate>
std::vector<Cost> costs(const Device& device, Estimate estimate) {
  std::vector<Cost> result;
  for (const Precision precision : {Precision::kFp32, Precision::kBf16, Precision::kInt8}) {
    const MemoryCost memory = estimate(precision);
    const uint64_t available = device.memory_available;
    const uint64_t left = available > memory.shared_weights ? available - memory.shared_weights : 0;
    result.push_back({precision, memory, memory.workspace > 0 ? left / memory.workspace : 0});
  }
  return result;
}

}  // namespace remuda::cli
