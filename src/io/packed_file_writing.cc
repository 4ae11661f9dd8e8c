// PackedFile while it is made.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>

#include "base/checksum.h"
#include "base/fail.h"
#include "io/packed_file.h"
#include "io/packed_format.h"

namespace remuda::io {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTemporary = ".packing";

// A file that was not written to for so long, and that nobody has locked, is one that nobody writes.
constexpr std::chrono::seconds kOldWithoutLock{60};
// The same where the file system knows no locks.
constexpr std::chrono::hours kOld{1};

size_t page_size() {
  static const size_t size = std::max<size_t>(4096, static_cast<size_t>(sysconf(_SC_PAGESIZE)));
  return size;
}

// One that no other process has, in another container with the same directory either.
fs::path temporary_name(const fs::path& path) {
  const auto now = std::chrono::system_clock::now().time_since_epoch().count();
  fs::path name = path;
  name += fmt::format(".{}-{:x}{}", getpid(), now, kTemporary);
  return name;
}

bool is_left_over(const fs::path& path) {
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat status{};
  if (!file.is_open() || fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return false;
  const auto age = std::chrono::system_clock::now() - std::chrono::system_clock::from_time_t(status.st_mtim.tv_sec);
  if (age < kOldWithoutLock) return false;
  if (flock(file.get(), LOCK_EX | LOCK_NB) == 0) return true;
  return errno != EWOULDBLOCK && age >= kOld;
}

}  // namespace

void PackedFile::remove_leftovers(const fs::path& directory) {
  std::error_code error, ignored;
  for (fs::directory_iterator entry(directory, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    const fs::path& path = entry->path();
    if (path.extension() == kTemporary && is_left_over(path)) fs::remove(path, ignored);
  }
}

std::shared_ptr<PackedFile> PackedFile::create(const fs::path& path, std::string_view key) {
  std::shared_ptr<PackedFile> file(new PackedFile(path, key));
  const fs::path temporary = temporary_name(path);
  file->file_ = FileDescriptor(::open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!file->file_.is_open()) file->fail_write("can't be made");
  file->temporary_ = temporary;
  // For remove_leftovers(); the lock goes with the process, however it ends.
  flock(file->file_.get(), LOCK_EX | LOCK_NB);
  file->size_ = page_size();  // The header's page.
  return file;
}

PackedFile::~PackedFile() {
  for (const auto pages : mapped_) munmap(pages.data(), pages.size());
  if (!complete_ && !temporary_.empty()) unlink(temporary_.c_str());
}

void PackedFile::fail_write(const char* what) const {
  throw PackedFileError(ErrorCode::kIo, fmt::format("{}: {}: {}", path_.string(), what, std::strerror(errno)));
}

void PackedFile::write_at(uint64_t offset, std::span<const std::byte> bytes) const {
  // Beyond this limit a write ends the process with a signal.
  struct rlimit limit{};
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
      offset + bytes.size() > limit.rlim_cur) {
    errno = EFBIG;
    fail_write("can't be written");
  }
  while (!bytes.empty()) {
    const ssize_t written = pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written == 0) errno = ENOSPC;
    if (written <= 0) fail_write("can't be written");
    bytes = bytes.subspan(static_cast<size_t>(written));
    offset += static_cast<uint64_t>(written);
  }
}

std::span<const std::byte> PackedFile::add(const std::string& name, std::span<const std::byte> bytes) {
  begin(name, bytes.size());
  append(bytes);
  return end();
}

void PackedFile::begin(const std::string& name, size_t bytes) {
  adding_ = {.name = name, .offset = size_, .bytes = bytes, .written = 0};
}

void PackedFile::append(std::span<const std::byte> bytes) {
  check_invariant(bytes.size() <= adding_.bytes - adding_.written, "a packed tensor has as many bytes as was said");
  write_at(adding_.offset + adding_.written, bytes);
  adding_.written += bytes.size();
}

std::span<const std::byte> PackedFile::end() {
  check_invariant(adding_.written == adding_.bytes, "a packed tensor has as many bytes as was said");
  Tensor tensor;
  tensor.offset = adding_.offset;
  size_ = (tensor.offset + adding_.bytes + page_size() - 1) / page_size() * page_size();
  if (adding_.bytes > 0) {
    void* pages = mmap(nullptr, adding_.bytes, PROT_READ, MAP_SHARED, file_.get(), static_cast<off_t>(tensor.offset));
    if (pages == MAP_FAILED) fail_write("can't be mapped into memory");
    mapped_.push_back({static_cast<std::byte*>(pages), adding_.bytes});
    tensor.bytes = mapped_.back();
  }
  for (size_t begin = 0; begin < tensor.bytes.size(); begin += kBlockBytes) {
    tensor.checksums.push_back(
        checksum(tensor.bytes.subspan(begin, std::min(kBlockBytes, tensor.bytes.size() - begin))));
  }
  const auto [entry, is_new] = tensors_.emplace(std::move(adding_.name), std::move(tensor));
  check_invariant(is_new, "a packed tensor's name is its own");
  return entry->second.bytes;
}

void PackedFile::commit() {
  const std::string table = make_table();
  PackedHeader header;
  header.version = kVersion;
  header.table_offset = size_;
  header.table_bytes = table.size();
  header.table_checksum = checksum(std::as_bytes(std::span(table)));
  header.checksum = header.own_checksum();
  write_at(size_, std::as_bytes(std::span(table)));
  size_ += table.size();
  write_at(0, std::as_bytes(std::span(&header, 1)));
  if (!file_.close()) fail_write("can't be written");
  if (rename(temporary_.c_str(), path_.c_str()) != 0) fail_write("can't be put in place");
  complete_ = true;
}

}  // namespace remuda::io
