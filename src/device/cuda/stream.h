// A stream of the table, as whoever computes with it sees it.
#pragma once

#include "device/cuda_backend.h"

struct CUstream_st;  // CUDA's; cudaStream_t points to it.

namespace remuda::cuda {

struct Stream {
  int device;
  CUstream_st* stream;
};

}  // namespace remuda::cuda
