// SentencePiece files for tests: the golden ones, and messages in protocol buffers' wire format.
#pragma once

#include <bit>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "text/test_support.h"

namespace remuda::text {

inline std::filesystem::path sentencepiece_golden_directory() {
  return source_directory() / "tests/golden/sentencepiece";
}

inline std::string read_sentencepiece_golden(const std::string& name) {
  std::ifstream file(sentencepiece_golden_directory() / name, std::ios::binary);
  std::string bytes(std::istreambuf_iterator<char>(file), {});
  EXPECT_FALSE(bytes.empty()) << name;
  return bytes;
}

inline std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes += static_cast<char>(value);
}

inline std::string tag(uint32_t number, uint32_t wire) { return varint(uint64_t{number} << 3 | wire); }

inline std::string varint_field(uint32_t number, uint64_t value) { return tag(number, 0) + varint(value); }

inline std::string bytes_field(uint32_t number, std::string_view bytes) {
  return tag(number, 2) + varint(bytes.size()) + std::string(bytes);
}

inline std::string float_field(uint32_t number, float value) {
  std::string bytes = tag(number, 5);
  for (int i = 0; i < 4; ++i) bytes += static_cast<char>(std::bit_cast<uint32_t>(value) >> (8 * i));
  return bytes;
}

// A piece of a model, whole.
inline std::string piece(std::string_view text, float score, uint64_t type) {
  return bytes_field(1, bytes_field(1, text) + float_field(2, score) + varint_field(3, type));
}

}  // namespace remuda::text
