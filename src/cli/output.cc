#include "cli/output.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <iterator>

#include "base/fail.h"

namespace remuda::cli {
namespace {

template <typename Float>
void append_number(std::string& out, Float value) {
  if (!std::isfinite(value)) {  // JSON has no such numbers.
    out += "null";
    return;
  }
  char text[32];
  const auto result = std::to_chars(std::begin(text), std::end(text), value);
  out.append(text, result.ptr);
}

}  // namespace

void Output::flush() {
  std::string_view rest = buffer_;
  while (!rest.empty()) {
    const ssize_t written = write(fd_, rest.data(), rest.size());
    if (written >= 0) {
      rest.remove_prefix(static_cast<size_t>(written));
    } else if (errno != EINTR) {
      const int error = errno;
      buffer_.clear();
      fail(ErrorCode::kIo, "{}: {}", name_, std::strerror(error));
    }
  }
  buffer_.clear();
}

void append_json(std::string& out, float value) { append_number(out, value); }
void append_json(std::string& out, double value) { append_number(out, value); }

void append_json(std::string& out, int64_t value) {
  char text[24];
  const auto result = std::to_chars(std::begin(text), std::end(text), value);
  out.append(text, result.ptr);
}

void append_json(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  out += '"';
}

}  // namespace remuda::cli
