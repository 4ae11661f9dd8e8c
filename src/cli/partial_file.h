// A result that grows beside the file that it replaces once it is finished.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "cli/output.h"

namespace remuda::cli {

// Beside results.npy: results.partial.npy, what is done of it; results.partial.npy.state, how far that is and of what,
// so that a run that was ended, even killed, can be continued. Both are new files, never what somebody has put under
// their names; results.npy is untouched until finish(). Not thread-safe; of two processes that write the same file, the
// second gets an error.
class PartialFile {
 public:
  // How far a result is, as of a moment when all of it was in the file.
  struct Progress {
    int64_t texts = 0;
    uint64_t bytes = 0;
    int64_t failed = 0;  // Texts among them that there is no result for.
    uint64_t sum = 0;    // Over the texts.
  };

  // `terms` is a JSON object of whatever the result depends on. Where `resume`, goes on with the partial file that is
  // there, if one is. Throws Error(kIo), and Error(kInvalidArgument) for a partial file that began under other terms.
  PartialFile(std::filesystem::path path, std::string_view terms, bool resume);
  // Keeps a partial file that holds results, and says so on stderr; in an empty one's place comes what was there
  // before.
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  const Progress& progress() const { return progress_; }
  const std::filesystem::path& path() const { return path_; }
  // Writes at the end.
  Output& out() { return out_; }
  // Throws Error(kIo).
  void write_at(uint64_t offset, std::string_view bytes);
  // Notes that the file holds so many texts; what is in out() is flushed.
  void record(int64_t texts, int64_t failed, uint64_t sum);
  // Puts the partial file in the place of the file, whose mode it gets. Throws Error(kIo).
  void finish();

 private:
  void create(std::string_view terms);
  bool reopen(std::string_view terms);
  void write_state(std::string_view terms);
  void set_aside();
  [[noreturn]] void fail_io(const std::filesystem::path& path, const char* action) const;

  const std::filesystem::path path_, partial_, state_path_;
  const std::filesystem::path old_, old_state_;  // What an earlier run has left, while this one has nothing better.
  int fd_ = -1;
  int state_fd_ = -1;
  Output out_;
  Progress progress_;
  bool finished_ = false;
};

// "dir/results.partial.npy", for "dir/results.npy".
std::filesystem::path partial_path(const std::filesystem::path& path);

}  // namespace remuda::cli
