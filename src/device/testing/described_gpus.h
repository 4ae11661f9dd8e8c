// The GPUs of the library that stands for libremuda_cuda.so in tests: described, not there. Their memory is the host's,
// and a stream does its work when it is synchronized, so that what a real one may put off is put off here.
#pragma once

#include <cstdint>

#include "device/cuda_backend.h"

namespace remuda {

struct DescribedGpu {
  char name[64] = {};
  int32_t major = 0;
  int32_t minor = 0;
  uint64_t memory_total = 0;
  uint64_t taken_by_others = 0;
  uint64_t reserved = 0;          // By pools; the library counts.
  bool is_lost = false;           // Every call fails.
  bool fails = false;             // To take memory fails, and not for want of it.
  bool refuses_contexts = false;  // To ask how much memory is free fails for want of memory.
};

// To be changed only while nobody calls the library.
struct DescribedGpus {
  cuda::Status start_status = cuda::Status::kOk;
  char start_message[128] = {};  // When that isn't kOk.
  cuda::Status products_status = cuda::Status::kOk;
  char products_message[128] = {};  // When that isn't kOk.
  int32_t count = 0;
  int32_t starts = 0;  // Calls of start(), which the library counts.
  DescribedGpu gpus[8] = {};
};

// What REMUDA_DESCRIBED_GPUS says at first, in GiB: "NVIDIA H100,9.0,80,79;Tesla T4,7.5,16,15" are two, with what is
// free. Where it isn't set there is one GPU.
using DescribedGpusFunction = DescribedGpus* (*)();
inline constexpr const char* kDescribedGpusSymbol = "remuda_described_gpus";

// For changes while others call the library: what other processes have of a GPU, and the end of one.
using DescribedTakeFunction = void (*)(int32_t gpu, uint64_t taken_by_others);
inline constexpr const char* kDescribedTakeSymbol = "remuda_described_take";
using DescribedLoseFunction = void (*)(int32_t gpu);
inline constexpr const char* kDescribedLoseSymbol = "remuda_described_lose";

// Memory comes to pools in pieces of this size.
inline constexpr uint64_t kDescribedGranularity = uint64_t{2} << 20;

}  // namespace remuda
