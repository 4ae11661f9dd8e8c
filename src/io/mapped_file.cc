#include "io/mapped_file.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "base/fail.h"
#include "base/files.h"

namespace remuda::io {
namespace {

[[noreturn]] void fail_errno(const std::filesystem::path& path, const char* what) {
  const ErrorCode code = errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo;
  fail(code, "{}: {}: {}", path.string(), what, std::strerror(errno));
}

}  // namespace

FileIdentity FileIdentity::of(const struct stat& status) {
  return {status.st_dev, status.st_ino, status.st_size, status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec};
}

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path), file_(OpenFile(path).release()) {
  struct stat status{};
  if (fstat(file_.get(), &status) != 0) fail_errno(path, "can't be looked at");
  identity_ = FileIdentity::of(status);
  size_ = static_cast<size_t>(status.st_size);
  if (size_ == 0) return;
  void* data = mmap(nullptr, size_, PROT_READ, MAP_SHARED, file_.get(), 0);
  if (data == MAP_FAILED) fail_errno(path, "can't be mapped into memory");
  data_ = static_cast<const std::byte*>(data);
}

MappedFile::MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(identity_, other.identity_);
  std::swap(file_, other.file_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::drop_pages(std::span<const std::byte> part) const {
  static const auto kPage = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(part.data()) / kPage * kPage;
  const auto end = reinterpret_cast<uintptr_t>(part.data()) + part.size();
  // Of a file that is only read, nothing is lost: who reads on finds it in the page cache.
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

void MappedFile::check_unwritten() const {
  struct stat status{};
  if (fstat(file_.get(), &status) != 0) fail_errno(path_, "can't be looked at");
  if (FileIdentity::of(status) == identity_) return;
  fail(ErrorCode::kInvalidFile,
       "{}: expected the {} bytes that were there when the model was loaded, found {} bytes written since; load it "
       "anew, and put new files in place of old ones by renaming",
       path_.string(), size_, status.st_size);
}

}  // namespace remuda::io
