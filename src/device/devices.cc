#include "device/devices.h"

#include <algorithm>
#include <fstream>
#include <string_view>

#include "device/cgroup.h"
#include "device/compute_pool.h"

namespace remuda {
namespace {

namespace fs = std::filesystem;

// The first "key<spaces>: value" line's value; Arm names a part number and no model.
std::string cpu_name(const fs::path& root) {
  std::ifstream file(root / "proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    const size_t colon = line.find(':');
    if (!line.starts_with("model name") || colon == std::string::npos) continue;
    const size_t value = line.find_first_not_of(" \t", colon + 1);
    if (value != std::string::npos) return line.substr(value);
  }
  return "unknown CPU";
}

// A line of /proc/meminfo, "MemTotal:  65536 kB", in bytes.
uint64_t meminfo(const fs::path& root, std::string_view key) {
  std::ifstream file(root / "proc/meminfo");
  std::string name, unit;
  uint64_t kib = 0;
  while (file >> name >> kib) {
    std::getline(file, unit);
    if (name == key) return kib * 1024;
  }
  return 0;
}

}  // namespace

std::vector<Device> list_devices(const fs::path& root) {
  Device cpu{.id = "cpu",
             .name = cpu_name(root),
             .threads = available_threads(),
             .memory_total = meminfo(root, "MemTotal:"),
             .memory_available = meminfo(root, "MemAvailable:")};
  if (const auto group = cgroup_memory_available(root)) cpu.memory_available = std::min(cpu.memory_available, *group);
  return {cpu};
}

}  // namespace remuda
