#include "cli/partial_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/fail.h"
#include "base/files.h"
#include "cli/format.h"

namespace remuda::cli {
namespace {

namespace fs = std::filesystem;

constexpr int kNewFile = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
constexpr int kOldFile = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
constexpr mode_t kMode = 0666;

fs::path with_suffix(fs::path path, const char* suffix) {
  path += suffix;
  return path;
}

// The state's first line, always of the same length, which one write changes.
std::string progress_line(const PartialFile::Progress& progress) {
  return fmt::format("texts={:020} bytes={:020} failed={:020} sum={:016x}\n", progress.texts, progress.bytes,
                     progress.failed, progress.sum);
}

bool parse_progress(const std::string& line, PartialFile::Progress& progress) {
  return std::sscanf(line.c_str(), "texts=%20" SCNd64 " bytes=%20" SCNu64 " failed=%20" SCNd64 " sum=%16" SCNx64,
                     &progress.texts, &progress.bytes, &progress.failed, &progress.sum) == 4 &&
         progress.texts >= 0;
}

// The first of the terms that differ: "precision: fp32 then, int8 now".
std::string difference(std::string_view then, std::string_view now) {
  const auto before = nlohmann::json::parse(then, nullptr, /*allow_exceptions=*/false);
  const auto after = nlohmann::json::parse(now);
  if (!before.is_object()) return "its state can't be read";
  for (const auto& [key, value] : after.items()) {
    const auto found = before.find(key);
    constexpr size_t kMostShown = 100;
    if (found == before.end()) return fmt::format("{}: nothing then, {} now", key, value.dump());
    if (*found != value) {
      return fmt::format("{}: {} then, {} now", key, found->dump(-1, ' ', true).substr(0, kMostShown), value.dump());
    }
  }
  return {};
}

bool is_regular(int fd) {
  struct stat status{};
  return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

// Held while it is written, and given back with the process.
bool lock(int fd) { return flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK; }

// What was set aside under the name `old`, if anything, in the place of `path`.
void put_back(const fs::path& old, const fs::path& path) {
  if (rename(old.c_str(), path.c_str()) != 0) unlink(path.c_str());
}

}  // namespace

fs::path partial_path(const fs::path& path) {
  return path.parent_path() / (path.stem().string() + ".partial" + path.extension().string());
}

PartialFile::PartialFile(fs::path path, std::string_view terms, bool resume)
    : path_(std::move(path)),
      partial_(partial_path(path_)),
      state_path_(with_suffix(partial_, ".state")),
      old_(with_suffix(partial_, ".old")),
      old_state_(with_suffix(state_path_, ".old")),
      out_(-1, path_.string()) {
  if (!resume || !reopen(terms)) create(terms);
  out_.set_descriptor(fd_);
}

PartialFile::~PartialFile() {
  if (!finished_ && fd_ >= 0) {
    if (progress_.texts == 0) {
      put_back(old_, partial_);
      put_back(old_state_, state_path_);
    } else {
      // What was written after the last record may be half a text. Where it can't be cut off, the state says so.
      [[maybe_unused]] const int ignored = ftruncate(fd_, static_cast<off_t>(progress_.bytes));
      say(fmt::format("remuda: {} keeps the {} texts that are done; --resume goes on from there\n", partial_.string(),
                      with_commas(progress_.texts)));
    }
  }
  if (fd_ >= 0) close(fd_);
  if (state_fd_ >= 0) close(state_fd_);
}

void PartialFile::fail_io(const fs::path& path, const char* action) const {
  const int error = errno;
  if (error == ENOENT || error == ENOTDIR || error == EACCES) {
    fail(ErrorCode::kIo, "{}: cannot {} it: {}", path_.string(), action, std::strerror(error));
  }
  fail(ErrorCode::kIo, "{}: cannot {} it: {}", path.string(), action, std::strerror(error));
}

// Gives the names to nobody's but this run's files. What an earlier run has left is kept until this one is finished.
void PartialFile::set_aside() {
  struct stat status{};
  if (lstat(partial_.c_str(), &status) != 0) return;
  const int fd = S_ISREG(status.st_mode) ? open(partial_.c_str(), kOldFile) : -1;
  const bool free = fd < 0 || lock(fd);
  if (fd >= 0) close(fd);
  if (!free) fail(ErrorCode::kIo, "{}: another process is writing it", partial_.string());
  if (rename(partial_.c_str(), old_.c_str()) != 0) fail_io(partial_, "replace");
  if (rename(state_path_.c_str(), old_state_.c_str()) != 0) unlink(old_state_.c_str());
}

void PartialFile::create(std::string_view terms) {
  set_aside();
  fd_ = open(partial_.c_str(), kNewFile, kMode);
  if (fd_ < 0) fail_io(partial_, "create");
  if (!lock(fd_)) fail(ErrorCode::kIo, "{}: another process is writing it", partial_.string());
  unlink(state_path_.c_str());
  write_state(terms);
}

void PartialFile::write_state(std::string_view terms) {
  state_fd_ = open(state_path_.c_str(), kNewFile, kMode);
  if (state_fd_ < 0) fail_io(state_path_, "create");
  const std::string text = fmt::format("{}{}\n", progress_line(progress_), terms);
  if (pwrite(state_fd_, text.data(), text.size(), 0) != std::ssize(text)) fail_io(state_path_, "write");
}

// False where there is nothing to go on with.
bool PartialFile::reopen(std::string_view terms) {
  constexpr uint64_t kMostStateBytes = 1 << 20;
  fd_ = open(partial_.c_str(), kOldFile);
  if (fd_ < 0 && errno == ENOENT) return false;
  if (fd_ < 0) fail_io(partial_, "open");
  if (!is_regular(fd_)) fail(ErrorCode::kIo, "{}: expected a regular file, found something else", partial_.string());
  if (!lock(fd_)) fail(ErrorCode::kIo, "{}: another process is writing it", partial_.string());
  if (!file_exists(state_path_)) {  // The run ended before it had computed anything.
    close(std::exchange(fd_, -1));
    return false;
  }
  const std::string state = read_file(state_path_, kMostStateBytes);
  const size_t newline = std::min(state.find('\n'), state.size());
  Progress progress;
  if (!parse_progress(state.substr(0, newline), progress)) {
    fail(ErrorCode::kInvalidFile, "{}: expected how far {} is, found something else; remove both to begin anew",
         state_path_.string(), partial_.string());
  }
  const std::string_view then = std::string_view(state).substr(std::min(newline + 1, state.size()));
  if (const std::string other = difference(then, terms); !other.empty()) {
    fail(ErrorCode::kInvalidArgument, "--resume: {} began with something else ({}); leave out --resume to begin anew",
         partial_.string(), other);
  }
  struct stat status{};
  if (fstat(fd_, &status) != 0 || static_cast<uint64_t>(status.st_size) < progress.bytes) {
    fail(ErrorCode::kInvalidFile, "{}: expected at least {} bytes, found {}; remove it to begin anew",
         partial_.string(), progress.bytes, status.st_size);
  }
  // What was written behind the last record may be half a text.
  if (ftruncate(fd_, static_cast<off_t>(progress.bytes)) != 0) fail_io(partial_, "cut");
  if (lseek(fd_, 0, SEEK_END) < 0) fail_io(partial_, "read");
  state_fd_ = open(state_path_.c_str(), kOldFile);
  if (state_fd_ < 0) fail_io(state_path_, "open");
  progress_ = progress;
  return true;
}

void PartialFile::write_at(uint64_t offset, std::string_view bytes) {
  if (pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset)) != std::ssize(bytes)) {
    fail_io(partial_, "write");
  }
}

void PartialFile::record(int64_t texts, int64_t failed, uint64_t sum) {
  out_.flush();
  const off_t end = lseek(fd_, 0, SEEK_CUR);
  if (end < 0) fail_io(partial_, "write");
  const Progress progress{texts, static_cast<uint64_t>(end), failed, sum};
  const std::string line = progress_line(progress);
  if (pwrite(state_fd_, line.data(), line.size(), 0) != std::ssize(line)) fail_io(state_path_, "write");
  progress_ = progress;
}

void PartialFile::finish() {
  out_.flush();
  struct stat status{};
  constexpr mode_t kPermissions = 07777;
  if (stat(path_.c_str(), &status) == 0 && fchmod(fd_, status.st_mode & kPermissions) != 0) {
    fail_io(partial_, "set the mode of");
  }
  if (fsync(fd_) != 0) fail_io(partial_, "write");
  if (rename(partial_.c_str(), path_.c_str()) != 0) fail_io(path_, "rename to");
  finished_ = true;
  unlink(state_path_.c_str());
  unlink(old_.c_str());
  unlink(old_state_.c_str());
}

}  // namespace remuda::cli
