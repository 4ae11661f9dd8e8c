#include "manager/long_document.h"

#include <algorithm>
#include <array>

#include "base/fail.h"

namespace remuda {
namespace {

constexpr std::string_view kSpace = " \t\n\v\f\r";

bool is_space(char c) { return kSpace.find(c) != std::string_view::npos; }

// Where a text may be divided, from the best kind of place to the worst.
enum Bound { kParagraph, kSentence, kWord, kCharacter, kNone };

// Whether what stands before `at` (white space left out) closes a sentence: an end mark, perhaps in quotes or brackets.
bool ends_sentence(std::string_view before) {
  static constexpr std::array<std::string_view, 9> kEnds = {".",      "!",      "?",      "\u2026", "\u3002",
                                                            "\uff01", "\uff1f", "\u061f", "\u0964"};
  static constexpr std::array<std::string_view, 8> kClosing = {"\"",     "'",      ")",      "]",
                                                               "\u201d", "\u2019", "\u00bb", "\u300d"};
  const auto ends_with = [&before](std::string_view mark) { return before.ends_with(mark); };
  for (const std::string_view* closing; (closing = std::ranges::find_if(kClosing, ends_with)) != kClosing.end();) {
    before.remove_suffix(closing->size());
  }
  return std::ranges::any_of(kEnds, ends_with);
}

// Whether the byte continues a character; those of malformed UTF-8 that continue nothing stand for themselves.
bool within_character(std::string_view text, size_t at) {
  const auto byte = [&text](size_t i) { return static_cast<unsigned char>(text[i]); };
  for (size_t back = 0; back < 4 && back <= at; ++back) {
    const unsigned char candidate = byte(at - back);
    if (candidate < 0x80) return false;
    const size_t length = candidate >= 0xF0 ? 4 : candidate >= 0xE0 ? 3 : 2;
    if (candidate >= 0xC0) return back > 0 && back < length;
  }
  return false;
}

// What kind of place `at` is. White space belongs to what stands before it, so that parts begin with a word.
Bound bound_at(std::string_view text, int64_t at) {
  const auto position = static_cast<size_t>(at);
  if (within_character(text, position)) return kNone;
  if (is_space(text[position])) return kCharacter;
  const size_t last = text.find_last_not_of(kSpace, position - 1);
  const std::string_view gap = text.substr(last + 1, position - last - 1);
  const std::string_view before = text.substr(0, last + 1);
  if (gap.empty()) {
    // Scripts without spaces have end marks of three bytes.
    const bool wide_mark = before.size() >= 3 && static_cast<unsigned char>(before.back()) >= 0x80;
    return wide_mark && ends_sentence(before) ? kSentence : kCharacter;
  }
  if (std::ranges::count(gap, '\n') >= 2) return kParagraph;
  return ends_sentence(before) ? kSentence : kWord;
}

class Splitter {
 public:
  Splitter(std::string_view text, const SplitOptions& options, const std::function<int64_t(std::string_view)>& count)
      : text_(text), options_(options), count_(count), size_(static_cast<int64_t>(text.size())) {}

  std::vector<TextSpan> split() {
    if (size_ == 0) return {{0, 0, tokens(0, 0)}};
    std::vector<TextSpan> parts;
    int64_t begin = 0;
    while (parts.empty() || parts.back().end < size_) {
      int64_t end = longest(begin);
      if (end < size_) end = best_bound(begin, end);
      if (!parts.empty() && end <= parts.back().end) {  // The overlap takes all the room.
        begin = parts.back().end;
        continue;
      }
      parts.push_back({begin, end, tokens(begin, end)});
      begin = next_begin(begin, end);
    }
    return parts;
  }

 private:
  int64_t tokens(int64_t begin, int64_t end) const {
    return count_(text_.substr(static_cast<size_t>(begin), static_cast<size_t>(end - begin)));
  }
  bool fits(int64_t begin, int64_t end) const { return tokens(begin, end) <= options_.max_tokens; }

  // The greatest character boundary at or below `at` that is above `begin`, or the first one above `begin`.
  int64_t boundary(int64_t begin, int64_t at) const {
    const auto inside = [this](int64_t i) { return i < size_ && bound_at(text_, i) == kNone; };
    int64_t i = std::min(at, size_);
    while (i > begin && inside(i)) --i;
    if (i > begin) return i;
    i = begin + 1;
    while (inside(i)) ++i;
    return i;
  }

  // About the greatest end with which a part that begins at `begin` fits; it fits for certain. Counts grow with a text
  // but for small exceptions (a word that is cut may have more tokens than the whole), so the search halves.
  int64_t longest(int64_t begin) {
    int64_t low = boundary(begin, begin);
    if (!fits(begin, low)) {
      fail(ErrorCode::kInvalidArgument,
           "a part of {} tokens has no room for the character at byte {}; allow more tokens", options_.max_tokens,
           begin);
    }
    // What the parts before had, and a little more; then from what fits to what doesn't.
    int64_t high = boundary(begin, begin + std::max<int64_t>(guess_, options_.max_tokens));
    while (fits(begin, high)) {
      low = high;
      if (high == size_) return size_;
      high = boundary(high, begin + 2 * (high - begin));
    }
    while (true) {
      const int64_t middle = boundary(low, low + (high - low) / 2);
      if (middle >= high) break;
      (fits(begin, middle) ? low : high) = middle;
    }
    guess_ = low - begin;
    return low;
  }

  // The best kind of place in the second half of [begin, end], the last one of its kind.
  int64_t best_bound(int64_t begin, int64_t end) const {
    std::array<int64_t, kNone> last{};
    for (int64_t at = end; at > begin + (end - begin) / 2; --at) {
      const Bound bound = bound_at(text_, at);
      if (bound == kNone || last[bound] > 0) continue;
      if (!fits(begin, at)) continue;  // Counts are not quite monotonous.
      last[bound] = at;
      if (bound == kParagraph) break;
    }
    const auto found = std::ranges::find_if(last, [](int64_t at) { return at > 0; });
    return found == last.end() ? end : *found;
  }

  // The first sentence that begins within the overlap before `end`, behind `begin`.
  int64_t next_begin(int64_t begin, int64_t end) const {
    if (options_.overlap_tokens <= 0 || end >= size_) return end;
    int64_t found = end;
    for (int64_t at = end - 1; at > begin; --at) {
      const Bound bound = bound_at(text_, at);
      if (bound != kParagraph && bound != kSentence) continue;
      if (tokens(at, end) > options_.overlap_tokens) break;
      found = at;
    }
    return found;
  }

  const std::string_view text_;
  const SplitOptions& options_;
  const std::function<int64_t(std::string_view)>& count_;
  const int64_t size_;
  int64_t guess_ = 0;  // Bytes of the last part.
};

}  // namespace

std::vector<TextSpan> split_text(std::string_view text, const SplitOptions& options,
                                 const std::function<int64_t(std::string_view)>& count) {
  return Splitter(text, options, count).split();
}

}  // namespace remuda
