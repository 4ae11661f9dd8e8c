// How a kernel's body is launched.
#pragma once

#include <string>

#include "device/cuda/cuda_error.h"
#include "kernels/cuda/device_thread.h"
#include "kernels/cuda/geometry.h"

namespace remuda::kernels::cuda {

// Beyond this a block's shared memory must be asked for.
inline constexpr int kPlainSharedBytes = 48 * 1024;

template <class Kernel, class Params>
void launch(Kernel kernel, const Launch& shape, const Params& params, cudaStream_t stream, const char* what) {
  if (shape.blocks == 0) return;
  if (shape.blocks > kMaxBlocks) throw remuda::cuda::CudaError(cudaErrorInvalidConfiguration, what);
  if (shape.shared_bytes > kPlainSharedBytes) {
    remuda::cuda::check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shape.shared_bytes),
                        what);
  }
  kernel<<<static_cast<unsigned>(shape.blocks), static_cast<unsigned>(shape.threads),
           static_cast<size_t>(shape.shared_bytes), stream>>>(params);
  remuda::cuda::check(cudaGetLastError(), what);
}

}  // namespace remuda::kernels::cuda
