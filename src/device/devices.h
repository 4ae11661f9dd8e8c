// The devices that this machine offers to compute on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "device/cuda_backend.h"
#include "remuda/precision.h"

namespace remuda {

// The id of main memory and the processors that work in it.
inline constexpr std::string_view kCpuDevice = "cpu";

struct Device {
  std::string id;    // What --device calls it: "cpu", "cuda:0".
  std::string name;  // The model, as its maker names it; "unknown CPU" where the system does not say.
  DeviceKind kind = DeviceKind::kCpu;
  int threads = 0;                      // How many threads this process may run on it at once.
  uint64_t memory_total = 0;            // Bytes. What the whole machine has.
  uint64_t memory_available = 0;        // Bytes that this process could still take; page cache counts as available.
  std::string problem = {};             // Why it can't be used, for people; empty: it can.
  std::string compute_capability = {};  // Of a GPU: "9.0".
  bool is_lost = false;                 // It was there, and this process can't use it any more; `problem` says why.
  int32_t computes = cuda::kComputesEncoders | cuda::kComputesBart;  // Kinds of models.
};

// The CPU, always first. Its available memory is the smaller of the machine's and what this process's control groups
// have left. `root` stands for "/", from which /proc and /sys are read; 0 bytes where they do not say.
std::vector<Device> list_devices(const std::filesystem::path& root = "/");

// Where devices are looked up. The machine's own has the GPUs of libremuda_cuda.so beside the CPU, whose driver it
// starts when GPUs are first asked about; tests have machines of their own. Thread-safe.
class DeviceProvider {
 public:
  virtual ~DeviceProvider() = default;
  // As they are now, the CPU first. A device that fails is one with a problem, not an exception.
  virtual std::vector<Device> devices() = 0;
  // One of them, nothing where it is not there; a look at the CPU starts no driver.
  virtual std::optional<Device> device(const std::string& id);
  // Those that are known without starting a driver.
  virtual std::vector<Device> known_devices() { return devices(); }
  // Why there are no GPUs, for people; empty where there are, or nobody knows.
  virtual std::string gpu_problem() { return {}; }
};

// Takes the place of the one before, the machine's own at first, and returns it. Thread-safe.
std::shared_ptr<DeviceProvider> set_device_provider(std::shared_ptr<DeviceProvider> provider);

// What the provider has. Of a device that was reported lost, that it is.
std::vector<Device> current_devices();
std::optional<Device> current_device(const std::string& id);
std::vector<Device> known_devices();
std::string gpu_problem();

// A GPU is of no use to this process any more: as long as there is this provider. The first report of a device is
// logged, and tells all listeners before it returns; a look at the devices that finds one lost is a report of it. Not
// to be called with a lock that a listener may want. Thread-safe.
void report_lost_device(const std::string& id, const std::string& why);
// Called from now on with the id of every device that is lost, on the thread that found out. Must not throw.
void on_lost_device(void (*listener)(const std::string& id));

// Bytes that this process could still take of a device; nothing where it is not there or doesn't say.
std::optional<uint64_t> memory_available(const std::string& id);

}  // namespace remuda
