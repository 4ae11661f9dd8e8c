// Paths looked at, and the one way in which files that somebody names are opened.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace remuda {

// Whether a file or a directory, links followed, has this name. Throws Error(kIo) where the system doesn't say: for a
// link to itself, below a directory that may not be read.
bool file_exists(const std::filesystem::path& path);

// A regular file, links followed, open for reading. Opening never waits and has no end that never comes: a FIFO, a
// device, a socket and a directory are refused. Not thread-safe.
class OpenFile {
 public:
  // Throws Error(kNotFound), Error(kIo), and Error(kInvalidFile) for a file of more than `max_bytes`.
  explicit OpenFile(std::filesystem::path path, uint64_t max_bytes = UINT64_MAX);
  ~OpenFile();
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  // The file's bytes when it was opened, at most `max_bytes`.
  uint64_t size() const { return size_; }
  int descriptor() const { return descriptor_; }
  // The descriptor, which the caller closes.
  int release();
  // Fills `bytes` from the file's start. Throws Error(kIo), also for a file that has become shorter than that.
  void read(std::span<char> bytes) const;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

// The bytes of a file that should be small. Throws as OpenFile does.
std::string read_file(const std::filesystem::path& path, uint64_t max_bytes);

}  // namespace remuda
