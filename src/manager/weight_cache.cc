#include "manager/weight_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <iterator>
#include <system_error>
#include <thread>

#include "base/checksum.h"
#include "base/fail.h"
#include "base/log.h"
#include "models/instruction_sets.h"

namespace remuda {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

// Packing less takes some milliseconds, about what opening and writing a file of it does.
constexpr uint64_t kSmallestSource = 8 << 20;

// Longer than any packing takes, unless a process hangs in it.
constexpr std::chrono::seconds kLongestWait = 60s;
constexpr std::chrono::milliseconds kBetweenTries = 10ms;

// Blocks that one task checks: 4 MiB, of which a task's cost is nothing.
constexpr int64_t kBlocksPerTask = 4;

// What stands under a path; nothing is an identity too.
io::FileIdentity identity_of(const fs::path& path) {
  struct stat status{};
  return stat(path.c_str(), &status) == 0 ? io::FileIdentity::of(status) : io::FileIdentity();
}

// Takes the lock, if need be when others have given it back. False where that takes too long; where the file system
// knows no locks, packing twice at once is harmless.
bool lock_in_time(int file) {
  const auto end = std::chrono::steady_clock::now() + kLongestWait;
  while (flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(kBetweenTries);
  }
  return true;
}

fs::path absolute_environment(const char* name) {
  const char* value = std::getenv(name);
  const fs::path path = value == nullptr ? "" : value;
  return path.is_absolute() ? path : fs::path();
}

// "~" and "~/x": environment files and settings objects have no shell that would expand them.
fs::path expand_home(const fs::path& path) {
  if (path.empty() || !path.begin()->string().starts_with('~')) return path;
  const std::string user = path.begin()->string().substr(1);
  fs::path home = user.empty() ? absolute_environment("HOME") : fs::path();
  if (home.empty()) {
    const passwd* entry = user.empty() ? getpwuid(getuid()) : getpwnam(user.c_str());
    if (entry == nullptr || entry->pw_dir == nullptr) {
      fail(ErrorCode::kInvalidArgument, "cache_dir: expected a home directory for ~{}, found none; write {} without ~",
           user, path.string());
    }
    home = entry->pw_dir;
  }
  fs::path rest;
  for (auto part = std::next(path.begin()); part != path.end(); ++part) rest /= *part;
  return rest.empty() ? home : home / rest;
}

}  // namespace

fs::path cache_directory(const Settings& settings) {
  if (!settings.cache_dir.empty()) return expand_home(settings.cache_dir);
  if (const fs::path cache = absolute_environment("XDG_CACHE_HOME"); !cache.empty()) return cache / "remuda";
  const fs::path home = absolute_environment("HOME");
  return home.empty() ? fs::path() : home / ".cache" / "remuda";
}

WeightCache::Lock::~Lock() {
  // Closing isn't enough where the process forked meanwhile: the lock is the child's as well.
  if (directory.is_open()) flock(directory.get(), LOCK_UN);
}

WeightCache::WeightCache(const Settings& settings, WeightSource source)
    : source_(std::move(source)), is_asked_for_(!settings.cache_dir.empty()) {
  const fs::path directory = cache_directory(settings);
  if (directory.empty() || source_.bytes < kSmallestSource) return;
  std::error_code ignored;
  const std::string place =
      fmt::format("directory {}\nprecision {}\nlayout {}\n", fs::weakly_canonical(source_.directory, ignored).string(),
                  to_string(source_.precision), models::active_packed_layout());
  key_ = fmt::format("{}files {}\n", place, source_.identity);
  // A name for the place, not for the files: those of a model that was replaced have the new one's file as their heir.
  path_ = directory / "weights" /
          fmt::format("{}-{:016x}.packed", to_string(source_.precision), checksum(std::as_bytes(std::span(place))));
}

bool WeightCache::has_file() const { return !path_.empty() && identity_of(path_) != io::FileIdentity(); }

std::shared_ptr<io::PackedFile> WeightCache::open_or_create(ComputePool& pool, Lock& lock) const {
  if (path_.empty()) return nullptr;
  const io::FileIdentity before = identity_of(path_);
  if (auto packed = open(pool)) return packed;
  const fs::path directory = path_.parent_path();
  std::error_code error;
  fs::create_directories(directory, error);
  lock.directory = io::FileDescriptor(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (lock.directory.is_open() && !lock_in_time(lock.directory.get())) {
    log::warning("{}: another process has packed weights there for {} s; packing into memory", directory.string(),
                 kLongestWait.count());
    return nullptr;
  }
  if (identity_of(path_) != before) {  // Another process has packed meanwhile.
    if (auto packed = open(pool)) return packed;
  }
  io::PackedFile::remove_leftovers(directory);
  return io::PackedFile::create(path_, key_);
}

std::shared_ptr<io::PackedFile> WeightCache::open(ComputePool& pool) const {
  try {
    auto packed = io::PackedFile::open(path_, key_);
    pool.parallel_for(packed->blocks(), kBlocksPerTask,
                      [&packed](int64_t begin, int64_t end) { packed->check_blocks(begin, end); });
    return packed;
  } catch (const io::PackedFileError& error) {
    if (error.code() == ErrorCode::kUnsupported) {
      log::info("{}; packing the weights again", error.what());
    } else if (error.code() != ErrorCode::kNotFound) {
      log::warning("{}; packing the weights again", error.what());
    }
    return nullptr;
  }
}

void WeightCache::commit(io::PackedFile& packed) const {
  if (source_.identify() != source_.identity) {
    throw io::PackedFileError(ErrorCode::kInvalidFile,
                              fmt::format("{}: files were changed while they were packed", source_.directory.string()));
  }
  packed.commit();
  log::info("packed the weights of {} into {} ({:.1f} MB)", source_.directory.string(), path_.string(),
            static_cast<double>(packed.bytes()) / 1e6);
}

void WeightCache::give_up(const io::PackedFileError& error) const {
  // Whole, and yet not what the model needs: the next load makes it anew.
  std::error_code ignored;
  if (error.code() == ErrorCode::kInvalidFile) fs::remove(path_, ignored);
  const std::string line = fmt::format("{}; packing the weights into memory", error.what());
  if (is_asked_for_) {
    log::warning("{}", line);
  } else {
    log::info("{}", line);
  }
}

}  // namespace remuda
