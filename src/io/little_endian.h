// Numbers in files of bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace remuda::io {

// The little-endian number of sizeof(T) bytes at `offset`, which must lie within `bytes`.
template <typename T>
T read_little(std::span<const std::byte> bytes, size_t offset) {
  uint64_t value = 0;
  for (size_t i = sizeof(T); i-- > 0;) value = value << 8 | std::to_integer<uint64_t>(bytes[offset + i]);
  return static_cast<T>(value);
}

}  // namespace remuda::io
