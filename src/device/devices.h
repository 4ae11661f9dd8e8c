// The devices that this machine offers to compute on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace remuda {

struct Device {
  std::string id;                 // What --device calls it: "cpu".
  std::string name;               // The model, as its maker names it; "unknown CPU" where the system does not say.
  int threads = 0;                // How many threads this process may run on it at once.
  uint64_t memory_total = 0;      // Bytes. What the whole machine has.
  uint64_t memory_available = 0;  // Bytes that this process could still take; page cache counts as available.
};

// The CPU, always first. Its available memory is the smaller of the machine's and what this process's control groups
// have left. `root` stands for "/", from which /proc and /sys are read; 0 bytes where they do not say.
std::vector<Device> list_devices(const std::filesystem::path& root = "/");

}  // namespace remuda
