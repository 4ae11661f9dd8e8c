// NVIDIA's management library, which tells how much memory of a GPU is free without a context on it: that would take
// hundreds of megabytes of what is asked about.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace remuda::cuda {

// Bytes; nothing where the library is not there or does not know the GPU. `uuid` without "GPU-" or "MIG-". Thread-safe.
std::optional<uint64_t> free_memory(const std::string& uuid);

}  // namespace remuda::cuda
