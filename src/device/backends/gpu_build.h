// What CMake knows of the CUDA backend: it picks with_cuda.cc or without_cuda.cc.
#pragma once

#include <string_view>

namespace remuda {

// Why there may be no libremuda_cuda.so, and what to do, for people.
std::string_view missing_gpu_backend();

}  // namespace remuda
