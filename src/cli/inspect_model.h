// `remuda inspect` by kind of model, a file each.
#pragma once

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "cli/format.h"
#include "manager/model_costs.h"

namespace remuda::cli {

// On these devices, see devices_for_models().
void show_embedding_model(const std::string& name, std::span<const Device> devices, bool json);
void show_summarization_model(const std::string& name, std::span<const Device> devices, bool json);

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
