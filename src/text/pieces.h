// A text and the parts that it is split into.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace remuda::text {

// A part of a text, in bytes; never empty.
struct Span {
  uint32_t begin;
  uint32_t end;
};

// Spans of `text`, which is the text that was split, or what the pre-tokenizers have made of it, kept in `storage`.
struct Pieces {
  std::string_view text;
  std::vector<Span> spans;
  std::string storage;

  std::string_view operator[](Span span) const { return text.substr(span.begin, span.end - span.begin); }
};

}  // namespace remuda::text
