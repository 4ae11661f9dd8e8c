// The backend's table with the processor as its one GPU, for what uses libremuda_cuda.so from outside to be tried
// without one. Only what models need is there.
#include "device/cuda/driver.h"
#include "device/cuda/memory.h"

namespace remuda::cuda {

void check_device(int) {}
void lose_device(int, const std::string&) {}
CurrentDevice::CurrentDevice(int) {}
CurrentDevice::~CurrentDevice() = default;

namespace {

Status start(int32_t* device_count, Message*) {
  *device_count = 1;
  return Status::kOk;
}

Status describe(int32_t, DeviceInfo* info, Message*) {
  *info = {};
  copy_text(info->name, "the processor, in a GPU's place");
  return Status::kOk;
}

Status make_stream_of(int32_t device, Stream** stream, Message*) {
  *stream = new Stream{.device = device, .stream = nullptr};
  return Status::kOk;
}
void destroy_stream(Stream* stream) { delete stream; }

Status make_pool_of(int32_t device, Pool** pool, Message*) {
  *pool = new Pool{.device = device, .pool = nullptr};
  return Status::kOk;
}
void destroy_pool(Pool* pool) { delete pool; }

Backend make_backend() {
  Backend backend = {};
  backend.abi_version = kAbiVersion;
  backend.computes_models = 1;
  backend.build = "for the processor";
  backend.start = start;
  backend.describe = describe;
  backend.make_stream = make_stream_of;
  backend.destroy_stream = destroy_stream;
  backend.make_pool = make_pool_of;
  backend.destroy_pool = destroy_pool;
  return backend;
}

}  // namespace
}  // namespace remuda::cuda

extern "C" __attribute__((visibility("default"))) const remuda::cuda::Backend* remuda_cuda_backend() {
  static const remuda::cuda::Backend backend = remuda::cuda::make_backend();
  return &backend;
}
