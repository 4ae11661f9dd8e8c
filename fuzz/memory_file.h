// A file without a disk, for targets that read files.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

namespace remuda {

// The path of a file that holds these bytes, until the next call.
inline std::string memory_file(const uint8_t* data, size_t size) {
  static const int file = memfd_create("fuzzed", MFD_CLOEXEC);
  if (file < 0 || ftruncate(file, 0) != 0 || pwrite(file, data, size, 0) != static_cast<ssize_t>(size)) std::abort();
  return "/proc/self/fd/" + std::to_string(file);
}

}  // namespace remuda
