// Buffered writing to a descriptor, and the little JSON that is written by the million.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace remuda::cli {

// Not thread-safe. What is not flushed is lost.
class Output {
 public:
  // `name` is for messages: "stdout" or a path.
  Output(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}

  // Append here; call `flush_if_full` now and then.
  std::string& buffer() { return buffer_; }
  void flush_if_full() {
    if (buffer_.size() >= kFlushBytes) flush();
  }
  void set_descriptor(int fd) { fd_ = fd; }
  // Throws Error(kIo). A pipe whose reader is gone ends the process by SIGPIPE, as it does other tools, unless the
  // parent process had that signal ignored.
  void flush();

 private:
  static constexpr size_t kFlushBytes = size_t{128} << 10;

  int fd_;
  const std::string name_;
  std::string buffer_;
};

// The shortest decimal that reads back as the same number.
void append_json(std::string& out, float value);
void append_json(std::string& out, double value);
void append_json(std::string& out, int64_t value);
inline void append_json(std::string& out, int32_t value) { append_json(out, int64_t{value}); }
// In quotes. `text` is UTF-8.
void append_json(std::string& out, std::string_view text);

}  // namespace remuda::cli
