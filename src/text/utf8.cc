#include "text/utf8.h"

#include <cstring>

namespace remuda::text {
namespace {

struct Sequence {
  size_t length;  // At least 1.
  bool valid;
};

// The sequence at `position`, which isn't ASCII: Unicode 15, table 3-7. A malformed one ends before the first byte
// that can't go on.
Sequence sequence_at(std::string_view text, size_t position) {
  const auto lead = static_cast<unsigned char>(text[position]);
  size_t length;
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
  } else if ((lead & 0xF0) == 0xE0) {
    length = 3;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return {1, false};
  }
  for (size_t offset = 1; offset < length; ++offset) {
    if (position + offset == text.size()) return {offset, false};
    const auto byte = static_cast<unsigned char>(text[position + offset]);
    if (byte < low || byte > high) return {offset, false};
    low = 0x80;
    high = 0xBF;
  }
  return {length, true};
}

}  // namespace

size_t ascii_prefix(std::string_view text) {
  size_t position = 0;
  for (; position + 8 <= text.size(); position += 8) {
    uint64_t bytes;
    std::memcpy(&bytes, text.data() + position, 8);
    if ((bytes & 0x8080808080808080u) != 0) break;
  }
  while (position < text.size() && is_ascii(text[position])) ++position;
  return position;
}

int64_t repair_utf8(std::string_view text, std::string& repaired) {
  int64_t malformed = 0;
  size_t copied = 0;
  size_t position = 0;
  while (true) {
    position += ascii_prefix(text.substr(position));
    if (position == text.size()) break;
    const Sequence sequence = sequence_at(text, position);
    if (!sequence.valid) {
      if (malformed++ == 0) repaired.clear();
      repaired.append(text, copied, position - copied);
      append_utf8(repaired, kReplacementCharacter);
      copied = position + sequence.length;
    }
    position += sequence.length;
  }
  if (malformed > 0) repaired.append(text, copied);
  return malformed;
}

}  // namespace remuda::text
