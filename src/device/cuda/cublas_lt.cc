#include "device/cuda/cublas_lt.h"

#include <cublasLt.h>
#include <dlfcn.h>

#include <mutex>
#include <string>

#include "device/cuda/cuda_error.h"

namespace remuda::cuda {

void* cublas_lt() {
  static std::mutex mutex;
  static void* library = nullptr;  // Guarded by mutex.
  const std::lock_guard lock(mutex);
  if (library != nullptr) return library;
  const std::string name = "libcublasLt.so." + std::to_string(CUBLAS_VER_MAJOR);
  void* const opened = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (opened == nullptr) {
    const char* const why = dlerror();
    throw StatusError(Status::kFailed, "cuBLASLt is missing: " + std::string(why ? why : name) +
                                           "; install the Python package nvidia-cublas, or NVIDIA's cuBLAS");
  }
  library = opened;
  return library;
}

}  // namespace remuda::cuda
