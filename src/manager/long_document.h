// A text of any length as parts of a bounded number of tokens.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

namespace remuda {

// Bytes [begin, end) of a text, and the tokens that they have.
struct TextSpan {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t tokens = 0;
};

struct SplitOptions {
  int64_t max_tokens = 0;      // Of a part, as `count` counts them.
  int64_t overlap_tokens = 0;  // That a part begins before the end of the one before it, at most.
};

// Splits so that every byte is in a part and every part has at most max_tokens. A part ends, as long as that leaves it
// at least half full, at the end of a paragraph, else of a sentence, else of a word; else between two characters. The
// next one begins at the first sentence within overlap_tokens of that end, or right there where there is none. The last
// part may be short.
//
// `count` gives the tokens of a text, special tokens included; it is called about ten times a part. Throws
// Error(kInvalidArgument) where not even one character of the text has as few as max_tokens.
std::vector<TextSpan> split_text(std::string_view text, const SplitOptions& options,
                                 const std::function<int64_t(std::string_view)>& count);

}  // namespace remuda
