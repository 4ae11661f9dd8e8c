// Unicode as the Hugging Face `tokenizers` library knows it; make_unicode_ranges.py says why that isn't Unicode as
// any one version of it has it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace remuda::text {

// A code point's properties, as bits.
enum Property : uint16_t {
  kWhiteSpace = 1 << 0,
  kRemovedByClean = 1 << 1,  // Controls, formats, private use, NUL, U+FFFD: what BERT's clean_text drops.
  kPunctuation = 1 << 2,     // ASCII symbols too.
  kChinese = 1 << 3,         // What BERT's handle_chinese_chars puts spaces around.
  kNonspacingMark = 1 << 4,  // Mn; only of code points that don't decompose.
  kMark = 1 << 5,            // Mn, Mc, Me, of the normalization tables.
  kNonstarter = 1 << 6,      // Combining class other than 0.
  kDecomposes = 1 << 7,
  kCompatibilityDecomposes = 1 << 8,
  kComposite = 1 << 9,  // NFC makes it of its decomposition; Hangul syllables aside.
  kHasLowercase = 1 << 10,
  kWord = 1 << 11,     // \w of a regular expression.
  kLetter = 1 << 12,   // \p{L}, as GPT-2's regular expression has it.
  kNumber = 1 << 13,   // \p{N}, there as well.
  kNumeric = 1 << 14,  // What the Digits pre-tokenizer splits at: \p{N} of another version of Unicode.
};

// The properties of all code points. Made at first use, immutable then.
class UnicodeTable {
 public:
  static const UnicodeTable& get();

  uint16_t operator[](char32_t code_point) const { return blocks_[index_[code_point / kBlock]][code_point % kBlock]; }
  bool has(char32_t code_point, uint16_t any_of) const { return ((*this)[code_point] & any_of) != 0; }

 private:
  static constexpr size_t kBlock = 128;
  using Block = std::array<uint16_t, kBlock>;

  UnicodeTable();

  std::array<uint16_t, 0x110000 / kBlock> index_;
  std::vector<Block> blocks_;
};

// Appends the lower case of one code point (two code points for U+0130 alone); no context, so that a final sigma is a
// sigma. `properties` are its own.
void append_lowercase(std::string& out, char32_t code_point, uint16_t properties);

// A letter of either case, or of both: Unicode's Cased.
bool has_case(char32_t code_point);
// What doesn't part two letters where case depends on what is near, as apostrophes and marks: Case_Ignorable.
bool ignores_case(char32_t code_point);

// Appends a code point's full decomposition. `properties` are its own.
void append_decomposition(std::u32string& out, char32_t code_point, uint16_t properties, bool compatibility);

// 0 for a starter. Meant for code points with kNonstarter.
int combining_class(char32_t code_point);

// Sorts nonstarters that follow each other by combining class, those of a class in the order they had.
void sort_nonstarters(std::u32string& nonstarters);

}  // namespace remuda::text
