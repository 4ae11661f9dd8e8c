#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <span>
#include <string_view>

#include "text/utf8.h"

namespace remuda::text {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};

struct LateLowercase {
  char32_t first;
  char32_t last;
  int32_t distance;
};

#include "text/unicode_ranges.inc"

struct PropertyRanges {
  Property property;
  std::span<const Range> ranges;
};

const PropertyRanges kProperties[] = {
    {kWhiteSpace, kWhiteSpaceRanges},
    {kRemovedByClean, kRemovedByCleanRanges},
    {kPunctuation, kPunctuationRanges},
    {kChinese, kChineseRanges},
    {kNonspacingMark, kNonspacingMarkRanges},
    {kMark, kMarkRanges},
    {kNonstarter, kNonstarterRanges},
    {kDecomposes, kDecomposesRanges},
    {kCompatibilityDecomposes, kCompatibilityDecomposesRanges},
    {kComposite, kCompositeRanges},
    {kHasLowercase, kHasLowercaseRanges},
    {kWord, kWordRanges},
    {kLetter, kLetterRanges},
    {kNumber, kNumberRanges},
    {kNumeric, kNumericRanges},
};

// Cased without being Lu, Ll or Lt (Other_Lowercase, Other_Uppercase), but for what is case-ignorable as well.
constexpr Range kOtherCased[] = {
    {0xAA, 0xAA},       {0xBA, 0xBA},       {0x2160, 0x217F},   {0x24B6, 0x24E9},
    {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189},
};
// Punctuation that stands within words: Word_Break of MidLetter, MidNumLet and Single_Quote.
constexpr std::u32string_view kWithinWords =
    U"\x27\x2E\x3A\u00B7\u0387\u055F\u05F4\u2018\u2019\u2024\u2027\uFE13\uFE52\uFE55\uFF07\uFF0E\uFF1A";
constexpr char32_t kCapitalIWithDot = 0x130;
constexpr char32_t kCombiningDotAbove = 0x307;

}  // namespace

const UnicodeTable& UnicodeTable::get() {
  static const UnicodeTable table;
  return table;
}

// Blocks of 128 code points, of 8,704 some 400 different: those that no range divides share one for each set of
// properties, and the others are copied from these when a range begins or ends in them.
UnicodeTable::UnicodeTable() {
  std::array<uint16_t, 0x110000 / kBlock> undivided{};
  for (const auto& [property, ranges] : kProperties) {
    for (const auto [first, last] : ranges) {
      for (size_t block = (first + kBlock - 1) / kBlock; block < (last + 1) / kBlock; ++block) {
        undivided[block] |= property;
      }
    }
  }
  for (size_t block = 0; block < index_.size(); ++block) {
    const auto same = [&](const Block& other) { return other.front() == undivided[block]; };
    const auto found = std::find_if(blocks_.begin(), blocks_.end(), same);
    index_[block] = static_cast<uint16_t>(found - blocks_.begin());
    if (found == blocks_.end()) blocks_.emplace_back().fill(undivided[block]);
  }
  const size_t shared = blocks_.size();
  const auto add = [&](size_t block, size_t begin, size_t end, Property property) {
    if (index_[block] < shared) {
      blocks_.push_back(Block(blocks_[index_[block]]));
      index_[block] = static_cast<uint16_t>(blocks_.size() - 1);
    }
    for (size_t c = begin; c < end; ++c) blocks_[index_[block]][c % kBlock] |= property;
  };
  for (const auto& [property, ranges] : kProperties) {
    for (const auto [first, last] : ranges) {
      const size_t end = last + 1;
      const size_t begins_in = first / kBlock;
      const size_t ends_in = end / kBlock;
      if (first % kBlock != 0) add(begins_in, first, std::min(end, (begins_in + 1) * kBlock), property);
      const bool done = begins_in == ends_in && first % kBlock != 0;
      if (end % kBlock != 0 && !done) add(ends_in, ends_in * kBlock, end, property);
    }
  }
}

void append_lowercase(std::string& out, char32_t code_point, uint16_t properties) {
  if ((properties & kHasLowercase) == 0) return append_utf8(out, code_point);
  if (code_point == kCapitalIWithDot) {
    out.push_back('i');
    return append_utf8(out, kCombiningDotAbove);
  }
  for (const auto& [first, last, distance] : kLateLowercase) {
    if (code_point >= first && code_point <= last) {
      return append_utf8(out, static_cast<char32_t>(static_cast<int32_t>(code_point) + distance));
    }
  }
  append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code_point))));
}

bool has_case(char32_t code_point) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code_point))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
      return true;
    default:
      return std::ranges::any_of(
          kOtherCased, [=](const Range& range) { return range.first <= code_point && code_point <= range.last; });
  }
}

bool ignores_case(char32_t code_point) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code_point))) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      return kWithinWords.find(code_point) != std::u32string_view::npos;
  }
}

void append_decomposition(std::u32string& out, char32_t code_point, uint16_t properties, bool compatibility) {
  if ((properties & (compatibility ? kCompatibilityDecomposes : kDecomposes)) == 0) {
    out.push_back(code_point);
    return;
  }
  // Unicode's longest is U+FDFA's, of 18.
  std::array<utf8proc_int32_t, 32> parts;
  int boundary_class = 0;
  const int options = UTF8PROC_DECOMPOSE | (compatibility ? UTF8PROC_COMPAT : 0);
  const auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code_point), parts.data(), parts.size(),
                                             static_cast<utf8proc_option_t>(options), &boundary_class);
  for (utf8proc_ssize_t i = 0; i < count; ++i) out.push_back(static_cast<char32_t>(parts[i]));
}

int combining_class(char32_t code_point) {
  return utf8proc_get_property(static_cast<utf8proc_int32_t>(code_point))->combining_class;
}

// A stable sort by packing class, position and code point into one number.
void sort_nonstarters(std::u32string& nonstarters) {
  constexpr int kCodePointBits = 21;
  constexpr int kPositionBits = 35;
  std::vector<uint64_t> keys;
  keys.reserve(nonstarters.size());
  for (const char32_t code_point : nonstarters) {
    const auto order = static_cast<uint64_t>(combining_class(code_point));
    keys.push_back((order << kPositionBits | keys.size()) << kCodePointBits | code_point);
  }
  std::sort(keys.begin(), keys.end());
  for (size_t i = 0; i < keys.size(); ++i) nonstarters[i] = keys[i] & ((1u << kCodePointBits) - 1);
}

}  // namespace remuda::text
