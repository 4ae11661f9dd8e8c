#include "device/devices.h"

#include <algorithm>
#include <fstream>
#include <mutex>
#include <string_view>
#include <utility>

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

Device read_cpu(const fs::path& root, std::string name) {
  Device cpu{.id = "cpu",
             .name = std::move(name),
             .threads = available_threads(),
             .memory_total = meminfo(root, "MemTotal:"),
             .memory_available = meminfo(root, "MemAvailable:")};
  if (const auto group = cgroup_memory_available(root)) cpu.memory_available = std::min(cpu.memory_available, *group);
  return cpu;
}

class Machine : public DeviceProvider {
 public:
  std::vector<Device> devices() override { return {read_cpu("/", name_)}; }

 private:
  const std::string name_ = cpu_name("/");
};

struct CurrentProvider {
  std::mutex mutex;
  std::shared_ptr<DeviceProvider> provider = std::make_shared<Machine>();  // Guarded by mutex.
};

CurrentProvider& current_provider() {
  static auto* const current = new CurrentProvider;
  return *current;
}

}  // namespace

std::vector<Device> list_devices(const fs::path& root) { return {read_cpu(root, cpu_name(root))}; }

std::shared_ptr<DeviceProvider> set_device_provider(std::shared_ptr<DeviceProvider> provider) {
  const std::lock_guard lock(current_provider().mutex);
  return std::exchange(current_provider().provider, std::move(provider));
}

std::vector<Device> current_devices() {
  std::shared_ptr<DeviceProvider> provider;
  {
    const std::lock_guard lock(current_provider().mutex);
    provider = current_provider().provider;
  }
  return provider->devices();
}

std::optional<uint64_t> memory_available(const std::string& id) {
  const std::vector<Device> devices = current_devices();
  const auto found = std::ranges::find(devices, id, &Device::id);
  if (found == devices.end() || !found->problem.empty() || found->memory_total == 0) return std::nullopt;
  return found->memory_available;
}

}  // namespace remuda
