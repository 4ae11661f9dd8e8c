// The table of libremuda_cuda.so.
#include <memory>
#include <string>

#include "device/cuda/architectures.h"
#include "device/cuda/cublas_lt.h"
#include "device/cuda/driver.h"
#include "device/cuda/memory.h"

namespace remuda::cuda {
namespace {

std::string describe_build() { return "CUDA " + version_text(CUDART_VERSION) + ", " + architectures(); }

Status start(int32_t* device_count, Message* message) {
  return guarded(message, [&] { *device_count = start_driver(); });
}

Status describe(int32_t device, DeviceInfo* info, Message* message) {
  return guarded(message, [&] { *info = describe_device(device); });
}

Status memory(int32_t device, uint64_t* free, uint64_t* total, Message* message) {
  return guarded(message, [&] { read_memory(device, *free, *total); });
}

Status find_products(Message* message) {
  return guarded(message, [] { cublas_lt(); });
}

Status make_stream_of(int32_t device, Stream** stream, Message* message) {
  return guarded_on(device, message, [&] { *stream = make_stream(device); });
}

void destroy_stream(Stream* stream) {
  const std::unique_ptr<Stream> owned(stream);
  Message ignored;
  guarded_on(owned->device, &ignored, [&] { check(cudaStreamDestroy(owned->stream), "cudaStreamDestroy"); });
}

Status synchronize(Stream* stream, Message* message) {
  return guarded_on(stream->device, message,
                    [&] { check(cudaStreamSynchronize(stream->stream), "cudaStreamSynchronize"); });
}

Status make_pool_of(int32_t device, Pool** pool, Message* message) {
  return guarded_on(device, message, [&] { *pool = make_pool(device); });
}

void destroy_pool(Pool* pool) {
  const std::unique_ptr<Pool> owned(pool);
  Message ignored;
  guarded_on(owned->device, &ignored, [&] { check(cudaMemPoolDestroy(owned->pool), "cudaMemPoolDestroy"); });
}

Status allocate_of(Pool* pool, uint64_t bytes, Stream* stream, void** memory, Message* message) {
  return guarded_on(pool->device, message, [&] { *memory = allocate(*pool, bytes, *stream); });
}

Status release(Pool* pool, void* memory, Stream* stream, Message* message) {
  return guarded_on(pool->device, message, [&] { check(cudaFreeAsync(memory, stream->stream), "cudaFreeAsync"); });
}

Status pool_memory(Pool* pool, uint64_t* reserved, uint64_t* allocated, Message* message) {
  return guarded_on(pool->device, message, [&] { read_pool(*pool, *reserved, *allocated); });
}

Status trim(Pool* pool, uint64_t keep, Message* message) {
  return guarded_on(pool->device, message, [&] { check(cudaMemPoolTrimTo(pool->pool, keep), "cudaMemPoolTrimTo"); });
}

Status copy(Stream* stream, void* to, const void* from, uint64_t bytes, cudaMemcpyKind kind, Message* message) {
  return guarded_on(stream->device, message,
                    [&] { check(cudaMemcpyAsync(to, from, bytes, kind, stream->stream), "cudaMemcpyAsync"); });
}

Status copy_to_device(Stream* stream, void* to, const void* from, uint64_t bytes, Message* message) {
  return copy(stream, to, from, bytes, cudaMemcpyHostToDevice, message);
}

Status copy_to_host(Stream* stream, void* to, const void* from, uint64_t bytes, Message* message) {
  return copy(stream, to, from, bytes, cudaMemcpyDeviceToHost, message);
}

Backend make_backend() {
  static const std::string build = describe_build();
  Backend backend = {};
  backend.abi_version = kAbiVersion;
  backend.computes_models = kComputesEncoders | kComputesBart;
  backend.build = build.c_str();
  backend.start = start;
  backend.describe = describe;
  backend.memory = memory;
  backend.find_products = find_products;
  backend.make_stream = make_stream_of;
  backend.destroy_stream = destroy_stream;
  backend.synchronize = synchronize;
  backend.make_pool = make_pool_of;
  backend.destroy_pool = destroy_pool;
  backend.allocate = allocate_of;
  backend.release = release;
  backend.pool_memory = pool_memory;
  backend.trim = trim;
  backend.copy_to_device = copy_to_device;
  backend.copy_to_host = copy_to_host;
  return backend;
}

}  // namespace
}  // namespace remuda::cuda

extern "C" __attribute__((visibility("default"))) const remuda::cuda::Backend* remuda_cuda_backend() {
  static const remuda::cuda::Backend backend = remuda::cuda::make_backend();
  return &backend;
}
