#include "device/cuda/driver.h"

#include <cuda.h>
#include <dlfcn.h>

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "device/cuda/architectures.h"
#include "device/cuda/management.h"

namespace remuda::cuda {
namespace {

// What the runtime has no function for.
struct Driver {
  decltype(&cuCtxGetCurrent) get_current = nullptr;
  decltype(&cuCtxSetCurrent) set_current = nullptr;
};

Driver open_driver() {
  void* const library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* const why = dlerror();
    throw StatusError(Status::kNoDriver, std::string("NVIDIA's driver is not there: ") + (why ? why : "libcuda.so.1"));
  }
  Driver driver;
  driver.get_current = reinterpret_cast<decltype(driver.get_current)>(dlsym(library, "cuCtxGetCurrent"));
  driver.set_current = reinterpret_cast<decltype(driver.set_current)>(dlsym(library, "cuCtxSetCurrent"));
  if (driver.get_current == nullptr || driver.set_current == nullptr) {
    throw StatusError(Status::kDriverTooOld, "libcuda.so.1 has no cuCtxSetCurrent");
  }
  return driver;
}

struct Gpu {
  DeviceInfo info = {};
  std::string uuid;
  std::optional<std::string> lost;  // Why. Guarded by Gpus::mutex.
};

// What start_driver() found; constant once it did, but for what is guarded.
struct Gpus {
  std::mutex mutex;
  Driver driver;
  std::vector<Gpu> all;
  bool is_started = false;  // Guarded by mutex.
};

Gpus& gpus() {
  static auto* const gpus = new Gpus;
  return *gpus;
}

int count_devices() {
  int driver_version = 0;
  cudaDriverGetVersion(&driver_version);
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code == cudaErrorInsufficientDriver) {
    cudaGetLastError();
    throw StatusError(Status::kDriverTooOld,
                      "NVIDIA's driver is too old: it is for CUDA " + version_text(driver_version) +
                          ", and remuda's library needs one for CUDA " + version_text(CUDART_VERSION) + " or later");
  }
  if (code == cudaErrorNoDevice || (code == cudaSuccess && count == 0)) {
    cudaGetLastError();
    throw StatusError(Status::kNoDevice, "NVIDIA's driver shows this process no GPU");
  }
  check(code, "cudaGetDeviceCount");
  return count;
}

// As nvidia-smi writes it, without "GPU-" or "MIG-".
std::string uuid_text(const cudaUUID_t& uuid) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string text;
  for (int i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    const auto byte = static_cast<unsigned char>(uuid.bytes[i]);
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

Gpu describe(int device) {
  cudaDeviceProp properties = {};
  check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  Gpu gpu;
  copy_text(gpu.info.name, properties.name);
  gpu.info.major = properties.major;
  gpu.info.minor = properties.minor;
  gpu.info.multiprocessors = properties.multiProcessorCount;
  gpu.info.memory_total = properties.totalGlobalMem;
  copy_text(gpu.info.problem, architecture_problem(properties.major, properties.minor));
  gpu.uuid = uuid_text(properties.uuid);
  return gpu;
}

Gpu& gpu(int device) {
  if (device < 0 || static_cast<size_t>(device) >= gpus().all.size()) {
    throw StatusError(Status::kInvalidArgument, "there is no device " + std::to_string(device));
  }
  return gpus().all[static_cast<size_t>(device)];
}

}  // namespace

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

int start_driver() {
  const std::lock_guard lock(gpus().mutex);
  if (!gpus().is_started) {
    gpus().driver = open_driver();
    const int count = count_devices();
    std::vector<Gpu> found;
    for (int device = 0; device < count; ++device) found.push_back(describe(device));
    gpus().all = std::move(found);
    gpus().is_started = true;
  }
  return static_cast<int>(gpus().all.size());
}

DeviceInfo describe_device(int device) { return gpu(device).info; }

void check_device(int device) {
  const Gpu& checked = gpu(device);
  const std::lock_guard lock(gpus().mutex);
  if (checked.lost) throw StatusError(Status::kDeviceLost, *checked.lost);
}

void lose_device(int device, const std::string& why) {
  Gpu& lost = gpu(device);
  const std::lock_guard lock(gpus().mutex);
  if (!lost.lost) lost.lost = why + "; this process can't use the GPU any more";
}

void read_memory(int device, uint64_t& free, uint64_t& total) {
  check_device(device);
  const Gpu& read = gpu(device);
  total = read.info.memory_total;
  if (const auto bytes = free_memory(read.uuid)) {
    free = *bytes;
    return;
  }
  const CurrentDevice current(device);
  size_t has_free = 0, has_total = 0;
  check(cudaMemGetInfo(&has_free, &has_total), "cudaMemGetInfo");
  free = has_free;
}

CurrentDevice::CurrentDevice(int device) {
  gpus().driver.get_current(&before_);
  const cudaError_t code = cudaSetDevice(device);
  if (code == cudaSuccess) return;
  gpus().driver.set_current(before_);
  check(code, "cudaSetDevice");
}

CurrentDevice::~CurrentDevice() { gpus().driver.set_current(before_); }

}  // namespace remuda::cuda
