// In cublas_lt.cc's place where CMake found no header of cuBLASLt.
#include "device/cuda/cublas_lt.h"
#include "device/cuda/cuda_error.h"

namespace remuda::cuda {

void* cublas_lt() {
  throw StatusError(Status::kFailed,
                    "cuBLASLt is missing: remuda's library was built without it; scripts/cuda_env.sh brings it");
}

}  // namespace remuda::cuda
