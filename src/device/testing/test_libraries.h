// The libraries that CMake builds for tests, and ways to them.
#pragma once

#include <filesystem>

#include "device/gpu_backend.h"
#include "device/testing/described_gpus.h"

namespace remuda {

// "described_backend": of src/device/testing/described_backend.cc.
inline std::filesystem::path test_library(const char* name) {
  return std::filesystem::path(REMUDA_TEST_LIBRARIES) / (std::string("lib") + name + ".so");
}

// The described GPUs of a backend that is one of the libraries which describe them, as they are for the whole process.
inline DescribedGpus& described_gpus(const GpuBackend& backend) {
  return *reinterpret_cast<DescribedGpusFunction>(find_in_gpu_backend(backend, kDescribedGpusSymbol))();
}

}  // namespace remuda
