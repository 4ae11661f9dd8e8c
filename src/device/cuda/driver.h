// The driver, and the GPUs that it shows this process.
#pragma once

#include <cstdint>
#include <string>

#include "device/cuda/cuda_error.h"
#include "device/cuda_backend.h"

struct CUctx_st;  // CUDA's; a CUcontext points to it.

namespace remuda::cuda {

// The functions of the table that are about devices; they throw. Thread-safe.
int start_driver();
DeviceInfo describe_device(int device);
void read_memory(int device, uint64_t& free, uint64_t& total);

// "13.0", of the runtime's 13000.
std::string version_text(int version);

// Throws where a device was lost; says that it is.
void check_device(int device);
void lose_device(int device, const std::string& why);

// Makes a device the calling thread's as long as the object lives. What was current before may be another library's,
// and it may be nothing, which the runtime's own cudaSetDevice() can't go back to without making a context.
class CurrentDevice {
 public:
  explicit CurrentDevice(int device);
  ~CurrentDevice();
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;

 private:
  [[maybe_unused]] CUctx_st* before_ = nullptr;  // Not used where there is no driver, in tests.
};

// body() with the device current; a failure that loses the device is remembered.
template <typename Body>
Status guarded_on(int device, Message* message, const Body& body) noexcept {
  const Status status = guarded(message, [&] {
    check_device(device);
    const CurrentDevice current(device);
    body();
  });
  if (status == Status::kDeviceLost) {
    Message ignored;
    guarded(&ignored, [&] { lose_device(device, message->text); });
  }
  return status;
}

}  // namespace remuda::cuda
