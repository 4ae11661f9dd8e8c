// As much of the CUDA runtime as an encoder needs, over the processor's memory: what a stream would do later is done at
// once. Memory is poisoned and exactly as large as was asked for, so that the address sanitizer sees its ends.
#include <cuda_runtime_api.h>

#include <cstring>
#include <new>

extern "C" {

const char* cudaGetErrorString(cudaError_t) { return "an error of the processor's CUDA runtime"; }
const char* cudaGetErrorName(cudaError_t) { return "error"; }
cudaError_t cudaGetLastError() { return cudaSuccess; }

cudaError_t cudaMallocFromPoolAsync(void** memory, size_t bytes, cudaMemPool_t, cudaStream_t) {
  *memory = operator new(bytes, std::align_val_t(256));
  std::memset(*memory, 0xff, bytes);
  return cudaSuccess;
}
cudaError_t cudaFreeAsync(void* memory, cudaStream_t) {
  operator delete(memory, std::align_val_t(256));
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }

}  // extern "C"
