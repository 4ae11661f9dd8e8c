// A file's bytes in memory, read-only, shared with the page cache.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

#include "io/file_descriptor.h"

struct stat;

namespace remuda::io {

// What tells one version of a file from another.
struct FileIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;
  int64_t size = 0;
  int64_t modified_ns = 0;

  static FileIdentity of(const struct stat& status);
  bool operator==(const FileIdentity&) const = default;
};

// Move-only; immutable and thread-safe. Replacing the file by renaming another one over it leaves a mapping as it was.
// Overwriting or truncating it in place is what no mapping survives: the bytes change, or reading them raises SIGBUS;
// whoever reads bytes long after the mapping was made calls check_unwritten() first.
class MappedFile {
 public:
  MappedFile() = default;
  // Throws Error(kNotFound) or Error(kIo). An empty file gives an empty span.
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }
  // Takes the pages of a part of bytes() out of this process's memory until they are read again.
  void drop_pages(std::span<const std::byte> part) const;
  // Throws Error(kInvalidFile) where the mapped file itself, not another that has taken its name, has been written to
  // or cut since it was mapped. A system call.
  void check_unwritten() const;

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  FileIdentity identity_;
  FileDescriptor file_;
};

}  // namespace remuda::io
