#include "device/gpu_stream.h"

#include "base/fail.h"

namespace remuda {

void fail_on_gpu(cuda::Status status, const std::string& what, const cuda::Message& message) {
  if (status == cuda::Status::kOutOfMemory) throw OutOfMemory(fmt::format("{}: {}", what, message.text));
  if (status == cuda::Status::kInvalidArgument) fail(ErrorCode::kInternal, "{}: {}", what, message.text);
  fail(ErrorCode::kIo, "{}: {}{}", what, status == cuda::Status::kDeviceLost ? "the GPU is lost: " : "", message.text);
}

GpuStream::GpuStream(const GpuBackend& backend, int number) : table_(*backend.table) {
  call_gpu("making a stream", table_.make_stream, number, &stream_);
}

GpuStream::~GpuStream() { table_.destroy_stream(stream_); }

void GpuStream::synchronize() { call_gpu("computing", table_.synchronize, stream_); }

void GpuStream::copy_to_device(void* to, const void* from, uint64_t bytes) {
  call_gpu("copying to the GPU", table_.copy_to_device, stream_, to, from, bytes);
}

void GpuStream::copy_to_host(void* to, const void* from, uint64_t bytes) {
  call_gpu("copying from the GPU", table_.copy_to_host, stream_, to, from, bytes);
}

}  // namespace remuda
