#include "device/devices.h"

#include <sys/sysinfo.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <map>
#include <mutex>
#include <span>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "device/cgroup.h"
#include "device/compute_pool.h"
#include "device/gpu_devices.h"

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

struct Memory {
  uint64_t total = 0;
  uint64_t available = 0;
};

// The machine's; zeros where nobody says. What caches have of it counts as available where /proc says how much that is.
Memory read_memory(const fs::path& root) {
  const Memory memory{meminfo(root, "MemTotal:"), meminfo(root, "MemAvailable:")};
  if (memory.total > 0 && memory.available > 0) return memory;
  struct sysinfo info{};
  if (sysinfo(&info) != 0) return memory;
  const uint64_t total = uint64_t{info.totalram} * info.mem_unit;
  return {total, std::min(total, (uint64_t{info.freeram} + info.bufferram) * info.mem_unit)};
}

// What a machine has that says nothing.
constexpr uint64_t kUnknownMemory = uint64_t{1} << 30;

Device read_cpu(const fs::path& root, std::string name) {
  const Memory memory = read_memory(root);
  Device cpu{.id = "cpu",
             .name = std::move(name),
             .threads = available_threads(),
             .memory_total = memory.total,
             .memory_available = memory.available};
  if (const auto group = cgroup_memory_available(root)) cpu.memory_available = std::min(cpu.memory_available, *group);
  return cpu;
}

class Machine : public DeviceProvider {
 public:
  std::vector<Device> devices() override {
    std::vector<Device> devices{cpu()};
    for (Device& gpu : gpus().devices()) devices.push_back(std::move(gpu));
    return devices;
  }
  std::optional<Device> device(const std::string& id) override { return id == kCpuDevice ? cpu() : gpus().device(id); }
  std::vector<Device> known_devices() override { return has_gpus_.load() ? devices() : std::vector<Device>{cpu()}; }
  std::string gpu_problem() override { return gpus().problem(); }

 private:
  Device cpu() const { return read_cpu("/", name_); }
  GpuDevices& gpus() {
    static auto* const gpus = new GpuDevices(gpu_backend());
    has_gpus_.store(true);
    return *gpus;
  }

  const std::string name_ = cpu_name("/");
  std::atomic<bool> has_gpus_{false};  // Whether somebody asked for them.
};

struct CurrentProvider {
  std::mutex mutex;
  // All below are guarded by mutex.
  std::shared_ptr<DeviceProvider> provider = std::make_shared<Machine>();
  std::map<std::string, std::string> lost;  // Devices of it, and why.
  std::vector<void (*)(const std::string&)> listeners;
};

CurrentProvider& current_provider() {
  static auto* const current = new CurrentProvider;
  return *current;
}

std::shared_ptr<DeviceProvider> get_provider() {
  const std::lock_guard lock(current_provider().mutex);
  return current_provider().provider;
}

// Reports what the provider found lost, and adds what was reported before.
void note_lost(std::span<Device> devices) {
  for (const Device& device : devices) {
    if (device.is_lost) report_lost_device(device.id, device.problem);
  }
  const std::lock_guard lock(current_provider().mutex);
  if (current_provider().lost.empty()) return;
  for (Device& device : devices) {
    const auto lost = current_provider().lost.find(device.id);
    if (lost == current_provider().lost.end()) continue;
    device.is_lost = true;
    device.problem = lost->second;
    device.memory_available = 0;
  }
}

}  // namespace

std::vector<Device> list_devices(const fs::path& root) { return {read_cpu(root, cpu_name(root))}; }

std::shared_ptr<DeviceProvider> set_device_provider(std::shared_ptr<DeviceProvider> provider) {
  const std::lock_guard lock(current_provider().mutex);
  current_provider().lost.clear();
  return std::exchange(current_provider().provider, std::move(provider));
}

std::optional<Device> DeviceProvider::device(const std::string& id) {
  std::vector<Device> all = devices();
  const auto found = std::ranges::find(all, id, &Device::id);
  if (found == all.end()) return std::nullopt;
  return std::move(*found);
}

std::vector<Device> current_devices() {
  std::vector<Device> devices = get_provider()->devices();
  note_lost(devices);
  return devices;
}

std::optional<Device> current_device(const std::string& id) {
  std::optional<Device> device = get_provider()->device(id);
  if (device) note_lost({&*device, 1});
  return device;
}

std::vector<Device> known_devices() {
  std::vector<Device> devices = get_provider()->known_devices();
  note_lost(devices);
  return devices;
}

void report_lost_device(const std::string& id, const std::string& why) {
  std::vector<void (*)(const std::string&)> listeners;
  {
    const std::lock_guard lock(current_provider().mutex);
    if (!current_provider().lost.try_emplace(id, why).second) return;
    listeners = current_provider().listeners;
  }
  log::error("{} is lost to this process, and all that was on it: {}", id, why);
  for (const auto& listener : listeners) listener(id);
}

void on_lost_device(void (*listener)(const std::string& id)) {
  const std::lock_guard lock(current_provider().mutex);
  current_provider().listeners.push_back(listener);
}

std::string gpu_problem() { return get_provider()->gpu_problem(); }

std::optional<uint64_t> memory_available(const std::string& id) {
  const std::optional<Device> device = current_device(id);
  if (!device || !device->problem.empty()) return std::nullopt;
  if (device->memory_total == 0 && id == kCpuDevice) {
    static const bool is_said = [] {
      log::warning(
          "neither /proc/meminfo nor sysinfo(2) says how much memory there is; taken to be {} MiB: set memory_limit "
          "lower where that is too much",
          kUnknownMemory >> 20);
      return true;
    }();
    return is_said ? kUnknownMemory : 0;
  }
  if (device->memory_total == 0) return std::nullopt;
  return device->memory_available;
}

}  // namespace remuda
