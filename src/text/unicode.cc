#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <span>

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
};

constexpr char32_t kCapitalIWithDot = 0x130;
constexpr char32_t kCombiningDotAbove = 0x307;

}  // namespace

const UnicodeTable& UnicodeTable::get() {
  static const UnicodeTable table;
  return table;
}

// Blocks of 128 code points; neighbours that are alike share one, which leaves a few hundred of 8,704.
UnicodeTable::UnicodeTable() {
  std::array<size_t, std::size(kProperties)> cursors{};
  for (size_t index = 0; index < index_.size(); ++index) {
    const auto first = static_cast<char32_t>(index * kBlock);
    const auto last = static_cast<char32_t>(first + kBlock - 1);
    Block block{};
    for (size_t p = 0; p < std::size(kProperties); ++p) {
      const auto& [property, ranges] = kProperties[p];
      size_t& cursor = cursors[p];
      while (cursor < ranges.size() && ranges[cursor].first <= last) {
        const char32_t begin = std::max(ranges[cursor].first, first);
        const char32_t end = std::min(ranges[cursor].last, last);
        for (char32_t c = begin; c <= end; ++c) block[c - first] |= property;
        if (ranges[cursor].last > last) break;
        ++cursor;
      }
    }
    if (blocks_.empty() || blocks_.back() != block) blocks_.push_back(block);
    index_[index] = static_cast<uint16_t>(blocks_.size() - 1);
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
