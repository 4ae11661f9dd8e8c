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

// While others use them: other processes have so much of one; one is lost.
inline void take_described(const GpuBackend& backend, int32_t gpu, uint64_t bytes) {
  reinterpret_cast<DescribedTakeFunction>(find_in_gpu_backend(backend, kDescribedTakeSymbol))(gpu, bytes);
}
inline void lose_described(const GpuBackend& backend, int32_t gpu) {
  reinterpret_cast<DescribedLoseFunction>(find_in_gpu_backend(backend, kDescribedLoseSymbol))(gpu);
}

}  // namespace remuda
