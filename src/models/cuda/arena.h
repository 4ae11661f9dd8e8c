// Memory of a GPU that is taken in one piece and given out in parts.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/cuda/cuda_error.h"
#include "device/cuda/memory.h"

namespace remuda::models::cuda {

// What products ask of an address, and what the driver aligns memory to.
inline constexpr uint64_t kPartAlignment = 256;

// The parts of a piece of memory, one behind the other: first counted, to know how much to take, then given out.
// Whoever lays out memory does both with one function.
class Parts {
 public:
  Parts() = default;  // Counts only; what it gives out is of no use.
  explicit Parts(void* memory) : begin_(reinterpret_cast<uintptr_t>(memory)) {}

  template <class T>
  T* take(int64_t count) {
    T* part = reinterpret_cast<T*>(begin_ + bytes_);
    bytes_ += (static_cast<uint64_t>(count) * sizeof(T) + kPartAlignment - 1) / kPartAlignment * kPartAlignment;
    return part;
  }

  uint64_t bytes() const { return bytes_; }

 private:
  uintptr_t begin_ = 0;
  uint64_t bytes_ = 0;
};

// Memory of a pool, in a stream's order: what the stream does from now on may use it, until the object ends. The
// device must be current.
class PoolMemory {
 public:
  PoolMemory(const remuda::cuda::Pool& pool, uint64_t bytes, cudaStream_t stream) : stream_(stream) {
    remuda::cuda::check(cudaMallocFromPoolAsync(&data_, bytes > 0 ? bytes : 1, pool.pool, stream),
                        "cudaMallocFromPoolAsync");
  }
  ~PoolMemory() { cudaFreeAsync(data_, stream_); }
  PoolMemory(const PoolMemory&) = delete;
  PoolMemory& operator=(const PoolMemory&) = delete;

  void* data() const { return data_; }
  // The stream in whose order it will be given back, if not the one that it was taken on.
  void release_on(cudaStream_t stream) { stream_ = stream; }

 private:
  void* data_ = nullptr;
  cudaStream_t stream_;
};

inline void copy_to_device(void* to, const void* from, uint64_t bytes, cudaStream_t stream) {
  remuda::cuda::check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream), "cudaMemcpyAsync");
}

}  // namespace remuda::models::cuda
