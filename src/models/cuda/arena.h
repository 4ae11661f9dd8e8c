// Memory of a GPU that is taken in one piece and given out in parts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "device/cuda/cuda_error.h"
#include "models/cuda_models.h"

namespace remuda::models::cuda {

// What products ask of an address, too.
inline constexpr uint64_t kPartAlignment = remuda::cuda::kMemoryAlignment;

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

// What a model takes: as long as it lives, and while it is loaded.
struct ModelBytes {
  uint64_t weights = 0;
  uint64_t loading = 0;
};

[[noreturn]] inline void refuse(const std::string& what) {
  throw remuda::cuda::StatusError(remuda::cuda::Status::kInvalidArgument, what);
}

// Parts of misaligned memory would be misaligned, which kernels don't survive.
inline void check_memory(const void* memory, const char* what) {
  if (memory != nullptr && reinterpret_cast<uintptr_t>(memory) % kPartAlignment == 0) return;
  refuse(std::string(what) + ": expected memory at a multiple of " + std::to_string(kPartAlignment) + " bytes");
}

inline void copy_to_device(void* to, const void* from, uint64_t bytes, cudaStream_t stream) {
  remuda::cuda::check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream), "cudaMemcpyAsync");
}
inline void copy_to_host(void* to, const void* from, uint64_t bytes, cudaStream_t stream) {
  remuda::cuda::check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream), "cudaMemcpyAsync");
}

}  // namespace remuda::models::cuda
