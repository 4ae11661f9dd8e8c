#include "base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/fail.h"

namespace remuda {
namespace {

[[noreturn]] void fail_errno(const std::filesystem::path& path, const char* what, int error) {
  const bool missing = error == ENOENT || error == ENOTDIR;
  fail(missing ? ErrorCode::kNotFound : ErrorCode::kIo, "{}: {}: {}", path.string(), what, std::strerror(error));
}

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

void check_regular(const std::filesystem::path& path, const struct stat& status) {
  if (S_ISREG(status.st_mode)) return;
  fail(ErrorCode::kIo, "{}: expected a regular file, found {}", path.string(), kind_of(status.st_mode));
}

}  // namespace

bool file_exists(const std::filesystem::path& path) {
  std::error_code error;
  const std::filesystem::file_type type = std::filesystem::status(path, error).type();
  if (type == std::filesystem::file_type::none) {
    fail(ErrorCode::kIo, "{}: can't be looked at: {}", path.string(), error.message());
  }
  return type != std::filesystem::file_type::not_found;
}

OpenFile::OpenFile(std::filesystem::path path, uint64_t max_bytes) : path_(std::move(path)) {
  // Looked at before it is opened, since opening a device may do something; and after, since it may be another by then.
  struct stat status{};
  if (stat(path_.c_str(), &status) != 0) fail_errno(path_, "can't be opened", errno);
  check_regular(path_, status);
  const int descriptor = open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (descriptor < 0) fail_errno(path_, "can't be opened", errno);
  try {
    if (fstat(descriptor, &status) != 0) fail_errno(path_, "can't be looked at", errno);
    check_regular(path_, status);
    size_ = static_cast<uint64_t>(status.st_size);
    if (size_ > max_bytes) {
      fail(ErrorCode::kInvalidFile, "{}: expected at most {} bytes, found {}", path_.string(), max_bytes, size_);
    }
  } catch (...) {
    close(descriptor);
    throw;
  }
  descriptor_ = descriptor;
}

OpenFile::~OpenFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

int OpenFile::release() { return std::exchange(descriptor_, -1); }

void OpenFile::read(std::span<char> bytes) const {
  const size_t wanted = bytes.size();
  off_t offset = 0;
  while (!bytes.empty()) {
    const ssize_t got = pread(descriptor_, bytes.data(), bytes.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_errno(path_, "can't be read", errno);
    if (got == 0) {
      fail(ErrorCode::kIo, "{}: expected {} bytes, found {}: it was cut while it was read", path_.string(), wanted,
           offset);
    }
    bytes = bytes.subspan(static_cast<size_t>(got));
    offset += got;
  }
}

std::string read_file(const std::filesystem::path& path, uint64_t max_bytes) {
  const OpenFile file(path, max_bytes);
  std::string bytes(file.size(), '\0');
  file.read(bytes);
  return bytes;
}

}  // namespace remuda
