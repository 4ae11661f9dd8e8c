#include "io/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "base/fail.h"

namespace remuda::io {
namespace {

[[noreturn]] void fail_errno(const std::filesystem::path& path, const char* what) {
  const ErrorCode code = errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo;
  fail(code, "{}: {}: {}", path.string(), what, std::strerror(errno));
}

int64_t modified_ns(const struct stat& status) {
  return status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec;
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) : MappedFile() {
  path_ = path;
  file_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status{};
  if (file_ < 0 || fstat(file_, &status) != 0) fail_errno(path, "can't be opened");
  if (!S_ISREG(status.st_mode)) {
    fail(ErrorCode::kIo, "{}: expected a regular file, found something else", path.string());
  }
  modified_ns_ = modified_ns(status);
  size_ = static_cast<size_t>(status.st_size);
  if (size_ == 0) return;
  void* data = mmap(nullptr, size_, PROT_READ, MAP_SHARED, file_, 0);
  if (data == MAP_FAILED) fail_errno(path, "can't be mapped into memory");
  data_ = static_cast<const std::byte*>(data);
}

MappedFile::MappedFile(MappedFile&& other) noexcept : MappedFile() { *this = std::move(other); }

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(file_, other.file_);
  std::swap(modified_ns_, other.modified_ns_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
  if (file_ >= 0) close(file_);
}

void MappedFile::check_unwritten() const {
  struct stat status{};
  if (fstat(file_, &status) != 0) fail_errno(path_, "can't be looked at");
  if (static_cast<size_t>(status.st_size) == size_ && modified_ns(status) == modified_ns_) return;
  fail(ErrorCode::kInvalidFile,
       "{}: expected the {} bytes that were there when the model was loaded, found {} bytes written since; load it "
       "anew, "
       "and put new files in place of old ones by renaming",
       path_.string(), size_, status.st_size);
}

}  // namespace remuda::io
