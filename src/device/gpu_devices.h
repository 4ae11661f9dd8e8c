// The GPUs that a backend finds, as devices.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "device/devices.h"
#include "device/gpu_backend.h"

namespace remuda {

// "cuda:" and a number: the number.
std::optional<int> gpu_number(std::string_view id);
// The inverse.
std::string gpu_id(int number);

// Thread-safe. In the child of a fork() the driver is of no use, if the parent had started it: there are no GPUs there,
// as problem() says, and the backend is not called.
class GpuDevices {
 public:
  explicit GpuDevices(const GpuBackend& backend) : backend_(backend) {}

  // As they are now; the first look starts the driver. Empty: problem() says why.
  std::vector<Device> devices();
  // One of them, without a look at the others.
  std::optional<Device> device(const std::string& id);
  // Whether anybody has looked.
  bool is_started() const { return has_started_.load(); }
  // Why there are none; empty where there are.
  std::string problem();

 private:
  // The first or a later try, where there was no success yet.
  void start();
  bool is_forked() const;
  Device describe(int number);

  const GpuBackend backend_;
  std::atomic<bool> has_started_{false};
  std::atomic<uint64_t> started_in_{0};  // The fork_generation(); before has_started_.
  std::mutex mutex_;
  std::vector<cuda::DeviceInfo> found_;  // Guarded by mutex_.
  std::string problem_;                  // Guarded by mutex_.
  std::string products_problem_;         // Why no GPU can compute anything; guarded by mutex_.
};

}  // namespace remuda
