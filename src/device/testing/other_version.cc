// A library of another version of the interface, of which nothing but the number may be read.
#include "device/cuda_backend.h"

extern "C" const uint32_t* remuda_cuda_backend() {
  static const uint32_t version = remuda::cuda::kAbiVersion + 1;
  return &version;
}
