// Memory of a thread for what one call of a kernel needs.
#pragma once

#include <cstdint>

#include "tensor/tensor.h"

namespace remuda::kernels {

// `floats` floats, aligned to 64 bytes, until this thread's next call. Grows to the most that the thread has asked for,
// and stays: no allocation in the steady state.
inline float* thread_scratch(int64_t floats) {
  thread_local AlignedBuffer buffer;
  const size_t bytes = static_cast<size_t>(floats) * sizeof(float);
  if (buffer.size() < bytes) {
    buffer = AlignedBuffer();  // Never both at once.
    buffer = AlignedBuffer(bytes);
  }
  return buffer.as<float>();
}

}  // namespace remuda::kernels
