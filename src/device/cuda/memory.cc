#include "device/cuda/memory.h"

#include <cstdint>
#include <memory>

#include "device/cuda/cuda_error.h"

namespace remuda::cuda {

Stream* make_stream(int device) {
  auto stream = std::make_unique<Stream>(Stream{.device = device, .stream = nullptr});
  // Not ordered with the default stream, on which others in this process may compute.
  check(cudaStreamCreateWithFlags(&stream->stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  return stream.release();
}

Pool* make_pool(int device) {
  auto pool = std::make_unique<Pool>(Pool{.device = device, .pool = nullptr});
  cudaMemPoolProps properties = {};
  properties.allocType = cudaMemAllocationTypePinned;
  properties.location.type = cudaMemLocationTypeDevice;
  properties.location.id = device;
  check(cudaMemPoolCreate(&pool->pool, &properties), "cudaMemPoolCreate");
  uint64_t keep = UINT64_MAX;  // Nothing goes back by itself: trim() does that.
  const cudaError_t code = cudaMemPoolSetAttribute(pool->pool, cudaMemPoolAttrReleaseThreshold, &keep);
  if (code != cudaSuccess) cudaMemPoolDestroy(pool->pool);
  check(code, "cudaMemPoolSetAttribute");
  return pool.release();
}

void* allocate(const Pool& pool, uint64_t bytes, const Stream& stream) {
  void* memory = nullptr;
  check(cudaMallocFromPoolAsync(&memory, bytes, pool.pool, stream.stream), "cudaMallocFromPoolAsync");
  return memory;
}

void read_pool(const Pool& pool, uint64_t& reserved, uint64_t& allocated) {
  const char* const what = "cudaMemPoolGetAttribute";
  check(cudaMemPoolGetAttribute(pool.pool, cudaMemPoolAttrReservedMemCurrent, &reserved), what);
  check(cudaMemPoolGetAttribute(pool.pool, cudaMemPoolAttrUsedMemCurrent, &allocated), what);
}

}  // namespace remuda::cuda
