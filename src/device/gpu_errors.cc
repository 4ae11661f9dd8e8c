#include "device/gpu_errors.h"

#include "device/devices.h"
#include "remuda/error.h"

namespace remuda {

bool is_of_gpu(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const DeviceError&) {
    return true;
  } catch (const OutOfMemory& out_of_memory) {
    return !out_of_memory.device().empty() && out_of_memory.device() != kCpuDevice;
  } catch (...) {
    return false;
  }
}

}  // namespace remuda
