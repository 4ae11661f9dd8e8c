// An order of work on a GPU.
#pragma once

#include <cstdint>
#include <string>

#include "device/cuda_backend.h"
#include "device/gpu_backend.h"

namespace remuda {

// Of what the backend says of GPU `number`: OutOfMemory for its memory, DeviceError for a GPU that is lost, which is
// reported, and for anything else. `what` begins the message. Not to be called with a lock, see report_lost_device().
[[noreturn]] void fail_on_gpu(cuda::Status status, int number, const std::string& what, const cuda::Message& message);

// Calls a function of the backend's tables, for GPU `number`, with these arguments and a message; throws what that
// says.
template <typename Function, typename... Args>
void call_gpu(int number, const char* what, Function function, Args... args) {
  cuda::Message message = {};
  const cuda::Status status = function(args..., &message);
  if (status != cuda::Status::kOk) fail_on_gpu(status, number, what, message);
}

// Belongs to one thread at a time. All throw as call_gpu() does.
class GpuStream {
 public:
  // Of GPU `number` of a backend that has a table.
  GpuStream(const GpuBackend& backend, int number);
  ~GpuStream();
  GpuStream(const GpuStream&) = delete;
  GpuStream& operator=(const GpuStream&) = delete;

  // Until all that was put in is done, and what was released can be had back.
  void synchronize();
  // Put in the order; the host's memory must stay until the stream was synchronized.
  void copy_to_device(void* to, const void* from, uint64_t bytes);
  void copy_to_host(void* to, const void* from, uint64_t bytes);

  cuda::Stream* get() const { return stream_; }
  int number() const { return number_; }  // Of its GPU.

 private:
  const cuda::Backend& table_;
  const int number_;
  cuda::Stream* stream_ = nullptr;
};

}  // namespace remuda
