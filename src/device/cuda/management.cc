#include "device/cuda/management.h"

#include <dlfcn.h>

namespace remuda::cuda {
namespace {

// As nvml.h, which toolkits need not have, declares them.
using NvmlDevice = void*;
struct NvmlMemory {
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
};
constexpr int kNvmlSuccess = 0;

struct Management {
  int (*init)() = nullptr;
  int (*device_by_uuid)(const char* uuid, NvmlDevice* device) = nullptr;
  int (*memory)(NvmlDevice device, NvmlMemory* memory) = nullptr;
  bool is_there = false;
};

Management open_management() {
  Management found;
  void* const library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return found;
  found.init = reinterpret_cast<decltype(found.init)>(dlsym(library, "nvmlInit_v2"));
  found.device_by_uuid = reinterpret_cast<decltype(found.device_by_uuid)>(dlsym(library, "nvmlDeviceGetHandleByUUID"));
  found.memory = reinterpret_cast<decltype(found.memory)>(dlsym(library, "nvmlDeviceGetMemoryInfo"));
  found.is_there = found.init != nullptr && found.device_by_uuid != nullptr && found.memory != nullptr &&
                   found.init() == kNvmlSuccess;
  return found;
}

}  // namespace

std::optional<uint64_t> free_memory(const std::string& uuid) {
  static const Management management = open_management();
  if (!management.is_there) return std::nullopt;
  for (const char* kind : {"GPU-", "MIG-"}) {
    NvmlDevice device = nullptr;
    NvmlMemory memory = {};
    if (management.device_by_uuid((kind + uuid).c_str(), &device) == kNvmlSuccess &&
        management.memory(device, &memory) == kNvmlSuccess) {
      return memory.free;
    }
  }
  return std::nullopt;
}

}  // namespace remuda::cuda
