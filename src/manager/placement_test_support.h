// Machines with GPUs that are described, not there.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "device/devices.h"

namespace remuda {

inline constexpr uint64_t kGiB = uint64_t{1} << 30;

// A machine with GPUs that have so much memory available, of 80 GiB each.
class DescribedMachine : public DeviceProvider {
 public:
  explicit DescribedMachine(const std::vector<uint64_t>& available) {
    machine_.push_back(
        {.id = "cpu", .name = "CPU", .threads = 8, .memory_total = 64 * kGiB, .memory_available = 32 * kGiB});
    for (const uint64_t bytes : available) {
      machine_.push_back({.id = "cuda:" + std::to_string(machine_.size() - 1),
                          .name = "GPU",
                          .kind = DeviceKind::kGpu,
                          .memory_total = 80 * kGiB,
                          .memory_available = bytes});
    }
  }
  std::vector<Device> devices() override { return machine_; }
  Device& gpu(size_t number) { return machine_.at(number + 1); }

 private:
  std::vector<Device> machine_;
};

}  // namespace remuda
