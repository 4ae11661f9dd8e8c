// Memory of the processor in the place of a GPU's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>

#include "device/cuda_backend.h"

namespace remuda::cuda {

// As a GPU's is aligned, with nothing in it that could be taken for a number, and exactly so large, so that the address
// sanitizer sees its ends.
class DeviceMemory {
 public:
  explicit DeviceMemory(uint64_t bytes) : data_(static_cast<std::byte*>(operator new(bytes, kAlignment))) {
    std::memset(data_.get(), 0xff, bytes);
  }
  void* data() const { return data_.get(); }

 private:
  static constexpr std::align_val_t kAlignment{kMemoryAlignment};
  struct Free {
    void operator()(std::byte* memory) const { operator delete(memory, kAlignment); }
  };
  std::unique_ptr<std::byte, Free> data_;
};

}  // namespace remuda::cuda
