// A library of another version of the interface, of which nothing but the number may be read.
#include "device/cuda_backend.h"

extern "C" const remuda::cuda::Backend* remuda_cuda_backend() {
  static const uint32_t version = remuda::cuda::kAbiVersion + 1;
  return reinterpret_cast<const remuda::cuda::Backend*>(&version);
}
