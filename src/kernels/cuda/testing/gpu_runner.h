// Runs kernels on a GPU, for kernel_cases.h.
#pragma once

#include <cuda_runtime_api.h>

#include <vector>

#include "device/cuda/cuda_error.h"
#include "kernels/cuda/kernels.h"

namespace remuda::kernels::cuda {

// On the current device and a stream of its own. Memory is kept until the runner ends.
class GpuRunner {
 public:
  GpuRunner() { remuda::cuda::check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate"); }
  ~GpuRunner() {
    for (void* memory : memory_) cudaFree(memory);
    cudaStreamDestroy(stream_);
  }
  GpuRunner(const GpuRunner&) = delete;
  GpuRunner& operator=(const GpuRunner&) = delete;

  cudaStream_t stream() const { return stream_; }

  // An allocation for each, so that compute-sanitizer sees its ends.
  template <class T>
  T* upload(const std::vector<T>& values) {
    void* memory = nullptr;
    const size_t bytes = values.size() * sizeof(T);
    remuda::cuda::check(cudaMalloc(&memory, bytes), "cudaMalloc");
    memory_.push_back(memory);
    remuda::cuda::check(cudaMemcpyAsync(memory, values.data(), bytes, cudaMemcpyHostToDevice, stream_), "cudaMemcpy");
    return static_cast<T*>(memory);
  }
  template <class T>
  std::vector<T> download(const T* from, size_t count) {
    std::vector<T> values(count);
    remuda::cuda::check(cudaMemcpyAsync(values.data(), from, count * sizeof(T), cudaMemcpyDeviceToHost, stream_),
                        "cudaMemcpy");
    remuda::cuda::check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
    return values;
  }

  template <class Element>
  void embed(const EmbedParams<Element>& p) {
    cuda::embed(p, stream_);
  }
  template <class Element>
  void layer_norm(const LayerNormParams<Element>& p) {
    cuda::layer_norm(p, stream_);
  }
  template <class Element>
  void activate(const ActivateParams<Element>& p) {
    cuda::activate(p, stream_);
  }
  template <class Element>
  void pool(const PoolParams<Element>& p) {
    cuda::pool(p, stream_);
  }
  void normalize(const NormalizeParams& p) { cuda::normalize(p, stream_); }
  template <class From, class To>
  void convert(const ConvertParams<From, To>& p) {
    cuda::convert(p, stream_);
  }
  template <class Element>
  void attention(const AttentionParams<Element>& p) {
    cuda::attention(p, stream_);
  }
  template <class Element>
  void cached_attention(const CachedAttentionParams<Element>& p) {
    cuda::cached_attention(p, stream_);
  }
  void rank(const RankingParams& p) { cuda::rank(p, stream_); }

 private:
  cudaStream_t stream_ = nullptr;
  std::vector<void*> memory_;
};

}  // namespace remuda::kernels::cuda
