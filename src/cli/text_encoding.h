// What the bytes of an input are, found out from how they begin, and made UTF-8 of.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace remuda::cli {

// What a file's first bytes say.
struct Signature {
  std::string_view bytes;
  enum class Kind { kUtf8, kUtf16Little, kUtf16Big, kNotText } kind;
  const char* name;    // "gzip", for messages.
  const char* advice;  // What to do with it; {} is the file.
};

// The signature that `start` begins with; nullptr: none.
const Signature* find_signature(std::string_view start);

// Whether more bytes could make a signature of what is there.
bool may_become_signature(std::string_view start);

// Bytes of UTF-16 to UTF-8. Halves of surrogate pairs, and a half of a unit, become U+FFFD and are counted.
class Utf16Decoder {
 public:
  explicit Utf16Decoder(bool is_big_endian) : is_big_endian_(is_big_endian) {}

  void decode(std::string_view bytes, std::string& out);
  // What stands alone at the end.
  void finish(std::string& out);
  int64_t malformed() const { return malformed_; }

 private:
  void add_unit(uint32_t unit, std::string& out);

  bool is_big_endian_;
  int first_byte_ = -1;  // Of a unit; -1: none.
  uint32_t high_ = 0;    // A high surrogate that waits for its low one; 0: none.
  int64_t malformed_ = 0;
};

// Replaces every \uD800 to \uDFFF in JSON that isn't half of a pair by \ufffd, and returns how many there were.
int64_t repair_surrogates(std::string& json);

}  // namespace remuda::cli
