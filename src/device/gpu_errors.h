// Errors that say something of a GPU.
#pragma once

#include <exception>

namespace remuda {

// Whether an error is of the GPU that computed, not of the work: DeviceError, or OutOfMemory there.
bool is_of_gpu(const std::exception_ptr& error);

}  // namespace remuda
