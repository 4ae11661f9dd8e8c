// libremuda_cuda.so, all of remuda that needs CUDA: found and opened when GPUs are first asked about, so that a process
// that computes on the CPU, or a machine without a driver, has nothing of it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "device/cuda_backend.h"

namespace remuda {

struct GpuBackend {
  const cuda::Backend* table = nullptr;  // As long as the process lives; null: there is none.
  std::filesystem::path file = {};       // Of the library.
  std::string problem = {};              // Why there is none, for people.
};

// Opens a library and looks whether it is one of this version. It is never closed again.
GpuBackend open_gpu_backend(const std::filesystem::path& file);

// What the library has under a name, beside the table: null where there is no such thing.
void* find_in_gpu_backend(const GpuBackend& backend, const char* symbol);

// Where the library is looked for: REMUDA_CUDA_LIBRARY alone where that is set, else beside the program or the Python
// module that this code is in, then where `cmake --install` puts it from there.
std::vector<std::filesystem::path> gpu_backend_files();

// The first of these that there is, or what is wrong with it; looked for once.
const GpuBackend& gpu_backend();

}  // namespace remuda
