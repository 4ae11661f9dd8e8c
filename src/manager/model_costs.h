// What a model takes of this machine's devices, for people: `remuda inspect`, and the info of managers in Python.
#pragma once

#include <cstdint>
#include <vector>

#include "device/devices.h"
#include "remuda/embedding_model_manager.h"
#include "remuda/memory_cost.h"
#include "remuda/precision.h"
#include "remuda/summarization_model_manager.h"

namespace remuda {

// The devices that work, the CPU first; of each, memory_available is what models may take of it now. Throws
// Error(kInvalidArgument) as describe_machine() does.
std::vector<Device> devices_for_models();

// What a model takes at a precision.
struct PrecisionCost {
  Precision precision;
  MemoryCost memory;
  // Instances that fit into the memory available now; they share the weights.
  uint64_t instances;
};

// One for each precision that the device has.
std::vector<PrecisionCost> precision_costs(const EmbeddingModelInfo& info, const Device& device);
std::vector<PrecisionCost> precision_costs(const SummarizationModelInfo& info, const Device& device);

}  // namespace remuda
