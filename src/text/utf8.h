// UTF-8, one code point at a time. Everything but repair_utf8 takes well-formed text for granted.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace remuda::text {

constexpr char32_t kReplacementCharacter = 0xFFFD;

inline bool is_ascii(char byte) { return static_cast<unsigned char>(byte) < 0x80; }
inline bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

// The code point at `position`, which is moved past it.
inline char32_t next_code_point(std::string_view text, size_t& position) {
  const auto byte = [&](size_t offset) { return static_cast<unsigned char>(text[position + offset]); };
  const char32_t lead = byte(0);
  if (lead < 0x80) {
    position += 1;
    return lead;
  }
  char32_t code_point;
  if (lead < 0xE0) {
    code_point = ((lead & 0x1Fu) << 6) | (byte(1) & 0x3Fu);
    position += 2;
  } else if (lead < 0xF0) {
    code_point = ((lead & 0x0Fu) << 12) | ((byte(1) & 0x3Fu) << 6) | (byte(2) & 0x3Fu);
    position += 3;
  } else {
    code_point = ((lead & 0x07u) << 18) | ((byte(1) & 0x3Fu) << 12) | ((byte(2) & 0x3Fu) << 6) | (byte(3) & 0x3Fu);
    position += 4;
  }
  return code_point;
}

// The code point that ends at `position` (> 0), which is moved to its start.
inline char32_t previous_code_point(std::string_view text, size_t& position) {
  do {
    --position;
  } while (position > 0 && is_continuation(text[position]));
  size_t start = position;
  return next_code_point(text, start);
}

inline void append_utf8(std::string& out, char32_t code_point) {
  const auto put = [&out](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | (code_point >> 6));
    put(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    put(0xE0 | (code_point >> 12));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  } else {
    put(0xF0 | (code_point >> 18));
    put(0x80 | ((code_point >> 12) & 0x3F));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  }
}

inline size_t count_code_points(std::string_view text) {
  size_t count = 0;
  for (const char byte : text) count += !is_continuation(byte);
  return count;
}

// The length of the ASCII text that `text` starts with.
size_t ascii_prefix(std::string_view text);

// Returns how many malformed sequences `text` has. If it has any, `repaired` is the text with each of them, taken as
// long as the WHATWG's "maximal subpart" rule says, replaced by U+FFFD; otherwise `repaired` is left alone.
int64_t repair_utf8(std::string_view text, std::string& repaired);

}  // namespace remuda::text
