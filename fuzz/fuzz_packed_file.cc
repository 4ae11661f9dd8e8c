// Any bytes as the table of a packed file whose checksums are right: refused with an Error, or tensors that lie within
// the file.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/checksum.h"
#include "io/packed_file.h"
#include "io/packed_format.h"

namespace {

constexpr uint64_t kTableOffset = 8192;  // One page of tensors.

// A file without a disk, opened anew for each input through its descriptor's path.
std::string memory_file(const std::string& bytes) {
  static const int file = memfd_create("packed", MFD_CLOEXEC);
  if (file < 0 || ftruncate(file, 0) != 0) std::abort();
  if (pwrite(file, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) std::abort();
  return "/proc/self/fd/" + std::to_string(file);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace remuda;
  io::PackedHeader header;
  header.version = io::PackedFile::kVersion;
  header.table_offset = kTableOffset;
  header.table_bytes = size;
  header.table_checksum = checksum({reinterpret_cast<const std::byte*>(data), size});
  header.checksum = header.own_checksum();
  std::string bytes(kTableOffset, '\0');
  std::memcpy(bytes.data(), &header, sizeof(header));
  bytes.append(reinterpret_cast<const char*>(data), size);
  try {
    const auto file = io::PackedFile::open(memory_file(bytes), "key");
    file->check_blocks(0, file->blocks());
  } catch (const io::PackedFileError& error) {
    if (error.code() != ErrorCode::kInvalidFile && error.code() != ErrorCode::kUnsupported) throw;
  }
  return 0;
}
