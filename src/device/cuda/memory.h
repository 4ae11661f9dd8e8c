// Streams, pools of memory, and copies.
#pragma once

#include <cuda_runtime_api.h>

#include "device/cuda/stream.h"
#include "device/cuda_backend.h"

namespace remuda::cuda {

struct Pool {
  int device;
  cudaMemPool_t pool;
};

// The functions of the table, with the device current; they throw.
Stream* make_stream(int device);
Pool* make_pool(int device);
void* allocate(const Pool& pool, uint64_t bytes, const Stream& stream);
void read_pool(const Pool& pool, uint64_t& reserved, uint64_t& allocated);

}  // namespace remuda::cuda
