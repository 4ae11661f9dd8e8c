#include "device/cuda/architectures.h"

namespace remuda::cuda {
namespace {

// nvcc's: 800 for 8.0, in rising order. For the last there is PTX as well, which later GPUs' drivers compile.
constexpr int kArchitectures[] = {__CUDA_ARCH_LIST__};

}  // namespace

std::string architectures() {
  std::string names;
  for (const int each : kArchitectures) names += (names.empty() ? "sm_" : " sm_") + std::to_string(each / 10);
  return names;
}

std::string architecture_problem(int major, int minor) {
  if (major * 100 + minor * 10 >= kArchitectures[0]) return "";
  return "its compute capability is " + std::to_string(major) + "." + std::to_string(minor) +
         ", and remuda's library is built for " + std::to_string(kArchitectures[0] / 100) + "." +
         std::to_string(kArchitectures[0] % 100 / 10) + " and later (" + architectures() + ")";
}

}  // namespace remuda::cuda
