// What models ask of the driver, where the GPUs are described (device/testing/described_backend.cc) and kernels run on
// the processor: there is nothing to make current, and a GPU is lost when its description says so.
#include "device/cuda/driver.h"

extern "C" const remuda::cuda::Backend* remuda_cuda_backend();

namespace remuda::cuda {

void check_device(int device) {
  uint64_t free = 0, total = 0;
  Message message = {};
  const Status status = remuda_cuda_backend()->memory(device, &free, &total, &message);
  if (status == Status::kDeviceLost) throw StatusError(status, message.text);
}
void lose_device(int, const std::string&) {}
CurrentDevice::CurrentDevice(int) {}
CurrentDevice::~CurrentDevice() = default;

}  // namespace remuda::cuda
