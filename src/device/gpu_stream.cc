#include "device/gpu_stream.h"

#include "base/fail.h"
#include "device/devices.h"
#include "device/gpu_devices.h"

namespace remuda {

void fail_on_gpu(cuda::Status status, int number, const std::string& what, const cuda::Message& message) {
  const std::string device = gpu_id(number);
  const std::string text = fmt::format("{}: {}: {}", device, what, message.text);
  if (status == cuda::Status::kOutOfMemory) throw OutOfMemory(text, device);
  if (status == cuda::Status::kInvalidArgument) fail(ErrorCode::kInternal, "{}", text);
  if (status != cuda::Status::kDeviceLost) throw DeviceError(device, /*is_lost=*/false, text);
  report_lost_device(device, message.text);
  throw DeviceError(device, /*is_lost=*/true, fmt::format("{}: {}: the GPU is lost: {}", device, what, message.text));
}

GpuStream::GpuStream(const GpuBackend& backend, int number) : table_(*backend.table), number_(number) {
  call_gpu(number_, "making a stream", table_.make_stream, number, &stream_);
}

GpuStream::~GpuStream() { table_.destroy_stream(stream_); }

void GpuStream::synchronize() { call_gpu(number_, "computing", table_.synchronize, stream_); }

void GpuStream::copy_to_device(void* to, const void* from, uint64_t bytes) {
  call_gpu(number_, "copying to the GPU", table_.copy_to_device, stream_, to, from, bytes);
}

void GpuStream::copy_to_host(void* to, const void* from, uint64_t bytes) {
  call_gpu(number_, "copying from the GPU", table_.copy_to_host, stream_, to, from, bytes);
}

}  // namespace remuda
