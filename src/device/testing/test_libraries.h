// The libraries that CMake builds for tests, and ways to them.
#pragma once

#include <dlfcn.h>

#include <filesystem>

#include "device/gpu_backend.h"
#include "device/testing/described_gpus.h"

namespace remuda {

// "described_backend": of src/device/testing/described_backend.cc.
inline std::filesystem::path test_library(const char* name) {
  return std::filesystem::path(REMUDA_TEST_LIBRARIES) / (std::string("lib") + name + ".so");
}

// The described GPUs of a backend that is test_library("described_backend"), as they are for the whole process.
inline DescribedGpus& described_gpus(const GpuBackend& backend) {
  void* const library = dlopen(backend.file.c_str(), RTLD_NOW | RTLD_NOLOAD);
  const auto gpus = reinterpret_cast<DescribedGpusFunction>(dlsym(library, kDescribedGpusSymbol));
  dlclose(library);  // The backend holds it as well.
  return *gpus();
}

}  // namespace remuda
