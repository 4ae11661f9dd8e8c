#include "text/byte_level.h"

#include <array>

#include "text/unicode.h"
#include "text/utf8.h"

namespace remuda::text {
namespace {

constexpr char32_t kFirstStandIn = 0x100;
constexpr size_t kCharacters = 0x144;

bool stands_for_itself(uint32_t byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

struct Alphabet {
  struct Character {
    std::array<char, 2> utf8;
    uint8_t length;
  };
  std::array<Character, 256> characters;
  std::array<int16_t, kCharacters> bytes;  // -1 for a character that stands for none.

  Alphabet() {
    bytes.fill(-1);
    char32_t stand_in = kFirstStandIn;
    for (uint32_t byte = 0; byte < characters.size(); ++byte) {
      const char32_t character = stands_for_itself(byte) ? byte : stand_in++;
      bytes[character] = static_cast<int16_t>(byte);
      std::string utf8;
      append_utf8(utf8, character);
      characters[byte] = {{utf8.front(), utf8.back()}, static_cast<uint8_t>(utf8.size())};
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet made;
  return made;
}

// What the expression tells characters apart by.
enum class Class : uint8_t { kLetter, kNumber, kSpace, kOther };

class Classes {
 public:
  static const Classes& get() {
    static const Classes classes;
    return classes;
  }

  // Of the character at `position`, which is moved past it.
  Class next(std::string_view text, size_t& position) const {
    const char byte = text[position];
    if (is_ascii(byte)) {
      ++position;
      return ascii_[static_cast<unsigned char>(byte)];
    }
    return of((*table_)[next_code_point(text, position)]);
  }

  // The end of the run of `wanted` that goes on at `position`.
  size_t run_end(std::string_view text, size_t position, size_t end, Class wanted) const {
    while (position < end) {
      const size_t start = position;
      if (next(text, position) != wanted) return start;
    }
    return position;
  }

 private:
  Classes() {
    for (size_t c = 0; c < ascii_.size(); ++c) ascii_[c] = of((*table_)[static_cast<char32_t>(c)]);
  }

  static Class of(uint16_t properties) {
    if (properties & kLetter) return Class::kLetter;
    if (properties & kNumber) return Class::kNumber;
    return properties & kWhiteSpace ? Class::kSpace : Class::kOther;
  }

  const UnicodeTable* table_ = &UnicodeTable::get();
  std::array<Class, 128> ascii_;
};

// The length of 's, 't, 're, 've, 'm, 'll or 'd, or 0.
size_t contraction(std::string_view text) {
  if (text.size() < 2) return 0;
  switch (text[1]) {
    case 's':
    case 't':
    case 'm':
    case 'd':
      return 2;
    case 'r':
    case 'v':
      return text.size() > 2 && text[2] == 'e' ? 3 : 0;
    case 'l':
      return text.size() > 2 && text[2] == 'l' ? 3 : 0;
    default:
      return 0;
  }
}

}  // namespace

void append_byte_characters(std::string& out, std::string_view bytes) {
  const Alphabet& known = alphabet();
  for (const char byte : bytes) {
    const auto& [utf8, length] = known.characters[static_cast<unsigned char>(byte)];
    out.append(utf8.data(), length);
  }
}

std::optional<char> byte_of_character(char32_t character) {
  if (character >= kCharacters || alphabet().bytes[character] < 0) return std::nullopt;
  return static_cast<char>(alphabet().bytes[character]);
}

void split_as_gpt2(std::string_view text, Span span, std::vector<Span>& out) {
  const Classes& classes = Classes::get();
  const size_t end = span.end;
  size_t begin = span.begin;
  const auto push_until = [&](size_t position) {
    out.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(position)});
    begin = position;
  };
  while (begin < end) {
    if (text[begin] == '\'') {
      if (const size_t length = contraction(text.substr(begin, end - begin))) {
        push_until(begin + length);
        continue;
      }
    }
    size_t position = begin;
    Class found = classes.next(text, position);
    if (found == Class::kSpace && text[begin] == ' ' && position < end) {
      size_t after = position;
      const Class next = classes.next(text, after);
      if (next != Class::kSpace) {
        found = next;
        position = after;
      }
    }
    position = classes.run_end(text, position, end, found);
    if (found == Class::kSpace && position < end) {
      // The last white space belongs to what follows, or stands alone.
      size_t last = position;
      previous_code_point(text, last);
      if (last > begin) position = last;
    }
    push_until(position);
  }
}

}  // namespace remuda::text
