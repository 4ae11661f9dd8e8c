// A file's bytes in memory, read-only, shared with the page cache.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace remuda::io {

// Move-only. A file that shrinks or is overwritten in place while it is mapped is outside what a mapping can
// survive; `is_unchanged` tells.
class MappedFile {
 public:
  // Throws Error(kNotFound) or Error(kIo). An empty file gives an empty span.
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }
  // Whether the path still names the same file with the same size and modification time.
  bool is_unchanged() const;

 private:
  struct Identity {
    uint64_t device = 0;
    uint64_t inode = 0;
    int64_t size = 0;
    int64_t modified_ns = 0;
    bool operator==(const Identity&) const = default;
  };

  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  Identity identity_;
};

}  // namespace remuda::io
