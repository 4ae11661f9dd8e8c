#include "device/backends/gpu_build.h"

namespace remuda {

std::string_view missing_gpu_backend() { return "it was built, and belongs there; REMUDA_CUDA_LIBRARY may name it"; }

}  // namespace remuda
