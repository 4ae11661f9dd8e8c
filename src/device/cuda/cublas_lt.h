// cuBLASLt, which multiplies matrices. It is half a gigabyte, so it is opened when it is needed, where it is: on the
// library's path, among what the process has loaded already, or in the Python package nvidia-cublas beside remuda's.
#pragma once

namespace remuda::cuda {

// The opened library, for dlsym(). Throws StatusError where there is none of the version that this was built with.
void* cublas_lt();

}  // namespace remuda::cuda
