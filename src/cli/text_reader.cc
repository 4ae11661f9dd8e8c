#include "cli/text_reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/fail.h"
#include "base/json.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "text/utf8.h"

namespace remuda::cli {
namespace {

constexpr size_t kReadBytes = size_t{256} << 10;
constexpr size_t kMaxTextBytes = size_t{1} << 30;
constexpr std::string_view kStdin = "-";

[[noreturn]] void fail_system(const std::string& name, int error) {
  fail(error == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo, "{}: {}", name, std::strerror(error));
}

// Its size, where it is a regular file.
std::optional<uint64_t> check_readable(const std::string& path) {
  struct stat status{};
  if (path == kStdin) {
    const bool regular = fstat(STDIN_FILENO, &status) == 0 && S_ISREG(status.st_mode);
    return regular ? std::optional<uint64_t>(status.st_size) : std::nullopt;
  }
  if (stat(path.c_str(), &status) != 0 || access(path.c_str(), R_OK) != 0) fail_system(path, errno);
  if (S_ISDIR(status.st_mode)) fail_system(path, EISDIR);
  return S_ISREG(status.st_mode) ? std::optional<uint64_t>(status.st_size) : std::nullopt;
}

// Whether a read would give something at once: data, the end or an error.
bool readable_now(int fd) {
  pollfd poll_fd{fd, POLLIN, 0};
  return poll(&poll_fd, 1, 0) != 0;
}

// Waits until `fd` can be read; false when the user interrupts first.
bool wait_readable(int fd) {
  pollfd poll_fds[2] = {{fd, POLLIN, 0}, {interrupt_fd(), POLLIN, 0}};
  while (!interrupted()) {
    const int ready = poll(poll_fds, 2, -1);
    if (ready < 0 && errno != EINTR) return true;  // Let read() say what is wrong.
    if (ready > 0 && poll_fds[0].revents != 0) return true;
  }
  return false;
}

TextReaderOptions with_default_file(TextReaderOptions options) {
  if (options.files.empty()) options.files.emplace_back(kStdin);
  return options;
}

}  // namespace

TextReader::TextReader(TextReaderOptions options) : options_(with_default_file(std::move(options))) {
  uint64_t total = 0;
  bool known = true;
  for (const std::string& file : options_.files) {
    const std::optional<uint64_t> size = check_readable(file);
    known = known && size.has_value();
    total += size.value_or(0);
  }
  if (known) total_bytes_ = total;
}

TextReader::~TextReader() { close_file(); }

bool TextReader::open_next() {
  if (next_file_ == options_.files.size()) return false;
  const std::string& file = options_.files[next_file_++];
  name_ = file == kStdin ? "stdin" : file;
  line_number_ = 0;
  at_start_ = true;
  decoder_.reset();
  fd_ = file == kStdin ? STDIN_FILENO : open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ < 0) fail_system(name_, errno);
  return true;
}

void TextReader::close_file() {
  if (decoder_) repaired_ += decoder_->malformed();
  if (fd_ > STDIN_FILENO) close(fd_);
  fd_ = -1;
}

// Appends what a read gives; false at the end of the file, and when interrupted.
bool TextReader::read_more(std::string& bytes) {
  const size_t size = bytes.size();
  while (wait_readable(fd_)) {
    bytes.resize(size + kReadBytes);
    const ssize_t got = ::read(fd_, bytes.data() + size, kReadBytes);
    const int error = errno;
    bytes.resize(size + static_cast<size_t>(std::max<ssize_t>(got, 0)));
    if (got >= 0) {
      bytes_read_ += static_cast<uint64_t>(got);
      return got > 0;
    }
    if (error != EINTR && error != EAGAIN) fail_system(name_, error);
  }
  return false;
}

// Reads more of the open file behind the unread part; false at its end, and when interrupted.
bool TextReader::fill() {
  if (begin_ > 0) {
    buffer_.erase(0, begin_);
    scanned_ -= begin_;
    begin_ = 0;
  }
  if (buffer_.size() > kMaxTextBytes) {
    fail(ErrorCode::kUnsupported, "{}:{}: expected a {} of at most {} bytes, found a longer one", name_,
         line_number_ + 1, options_.whole_files ? "file" : "line", kMaxTextBytes);
  }
  if (!decoder_) {
    bool more = read_more(buffer_);
    while (more && at_start_ && may_become_signature(buffer_)) more = read_more(buffer_);
    if (at_start_) recognise();
    return more;
  }
  std::string bytes;
  const size_t size = buffer_.size();
  const bool more = read_more(bytes);
  more ? decoder_->decode(bytes, buffer_) : decoder_->finish(buffer_);
  return more || buffer_.size() > size;
}

// Takes away what says how a file is encoded, and sees to it that it is read so.
void TextReader::recognise() {
  at_start_ = false;
  const Signature* signature = find_signature(buffer_);
  if (signature == nullptr) return;
  if (signature->kind == Signature::Kind::kNotText) {
    fail(ErrorCode::kUnsupported, "{}: expected text, found {}; {}", name_, signature->name,
         fmt::format(fmt::runtime(signature->advice), name_));
  }
  if (signature->kind == Signature::Kind::kUtf8) {
    buffer_.erase(0, signature->bytes.size());
    return;
  }
  const std::string bytes = buffer_.substr(signature->bytes.size());
  buffer_.clear();
  decoder_.emplace(signature->kind == Signature::Kind::kUtf16Big);
  decoder_->decode(bytes, buffer_);
}

// The text up to `end`; `newline` says whether a '\n' stands there.
void TextReader::take_line(size_t end, bool newline, std::string& line) {
  line.assign(buffer_, begin_, end - begin_);
  if (newline && line.ends_with('\r')) line.pop_back();
  begin_ = scanned_ = end + (newline ? 1 : 0);
  ++line_number_;
}

bool TextReader::next_line(std::string& line) {
  while (fd_ >= 0 || open_next()) {
    const size_t newline = buffer_.find('\n', scanned_);
    if (newline != std::string::npos) {
      take_line(newline, true, line);
      return true;
    }
    scanned_ = buffer_.size();
    if (fill()) continue;
    if (interrupted()) return false;
    const bool unfinished_line = begin_ < buffer_.size();
    if (unfinished_line) take_line(buffer_.size(), false, line);
    close_file();
    if (unfinished_line) return true;
  }
  return false;
}

bool TextReader::next_file(std::string& text) {
  if (fd_ < 0 && !open_next()) return false;
  while (fill()) continue;
  if (interrupted()) return false;
  text = std::exchange(buffer_, {});
  close_file();
  return true;
}

// JSON lines without the flag for them give vectors of braces and quotation marks.
void TextReader::look_for_json(std::string_view line) const {
  if (next_file_ != 1 || line_number_ != 1 || !line.starts_with("{\"") || !line.ends_with('}')) return;
  warn(fmt::format("{} looks like JSON lines, whose objects are embedded as they stand; --jsonl takes their texts",
                   name_));
}

std::string TextReader::parse_json(std::string& line) {
  repaired_ += repair_surrogates(line);
  std::string well_formed;
  const int64_t malformed = text::repair_utf8(line, well_formed);
  repaired_ += malformed;
  const auto document =
      JsonDocument::parse(malformed > 0 ? well_formed : line, fmt::format("{}:{}", name_, line_number_));
  return std::string(document.root().at(options_.field).as_string());
}

bool TextReader::next_text(std::string& text) {
  if (options_.whole_files) return next_file(text);
  if (!options_.jsonl) {
    if (!next_line(text)) return false;
    look_for_json(text);
    return true;
  }
  std::string line;
  do {
    if (!next_line(line)) return false;
  } while (line.find_first_not_of(" \t\r") == std::string::npos);
  text = parse_json(line);
  return true;
}

bool TextReader::read(TextChunk& chunk) {
  chunk.texts.clear();
  chunk.failed.clear();
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  size_t bytes = 0;
  std::string text;
  while (chunk.texts.size() < options_.max_texts && bytes < options_.max_bytes && (chunk.texts.empty() || ready())) {
    try {
      if (!next_text(text)) break;
    } catch (const Error& error) {
      // What a line says is its own error, what the system says ends the run.
      const bool of_line = options_.skip_bad && error.code() == ErrorCode::kInvalidFile;
      if (of_line) {
        chunk.failed.push_back({std::ssize(chunk.texts), fmt::format(": {}", error.what())});
        text.clear();
      } else if (chunk.texts.empty()) {
        throw;
      } else {
        failure_ = std::current_exception();
        break;
      }
    }
    bytes += text.size();
    chunk.texts.push_back(std::move(text));
  }
  return !chunk.texts.empty() && !interrupted();
}

bool TextReader::read(std::vector<std::string>& texts) {
  TextChunk chunk;
  const bool more = read(chunk);
  texts = std::move(chunk.texts);
  return more;
}

bool TextReader::ready() const {
  if (failure_ || buffer_.find('\n', scanned_) != std::string::npos) return true;
  if (fd_ >= 0) return readable_now(fd_);
  return next_file_ == options_.files.size() || options_.files[next_file_] != kStdin || readable_now(STDIN_FILENO);
}

}  // namespace remuda::cli
