#include "device/backends/gpu_build.h"

namespace remuda {

std::string_view missing_gpu_backend() {
  return "this remuda was built without it, for want of nvcc; REMUDA_CUDA_LIBRARY may name one of the same version";
}

}  // namespace remuda
