// The compute capabilities that this library's kernels were compiled for.
#pragma once

#include <string>

namespace remuda::cuda {

// "sm_80 sm_90".
std::string architectures();

// Why kernels don't run on a GPU of this compute capability; empty: they do.
std::string architecture_problem(int major, int minor);

}  // namespace remuda::cuda
