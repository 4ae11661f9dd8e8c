#include "device/backends/gpu_build.h"

namespace remuda {

std::string_view missing_gpu_backend() {
  return "this remuda was built without it (REMUDA_CUDA, or no nvcc); REMUDA_CUDA_LIBRARY may name one of the same "
         "version";
}

}  // namespace remuda
