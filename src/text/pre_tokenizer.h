// How a normalized text is split into the pieces that the model sees: the pre-tokenizers of tokenizer.json. A new
// kind is a struct with a `split`, an alternative of PreTokenizerStep, and a line in parse_pre_tokenizer.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/json.h"
#include "text/unicode.h"

namespace remuda::text {

// A part of a text, in bytes; never empty.
struct Span {
  uint32_t begin;
  uint32_t end;
};

// What becomes of the character or the run that a text is split at.
enum class Delimiter { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

// Each step appends the pieces of text[span] to `out`.

// BERT's: white space divides and disappears, punctuation stands alone.
struct BertSplit {
  const UnicodeTable* table = &UnicodeTable::get();
  // Of an ASCII character.
  enum class Class : uint8_t { kWord, kSpace, kPunctuation };
  std::array<Class, 128> ascii = classify();

  void split(std::string_view text, Span span, std::vector<Span>& out) const;

 private:
  static std::array<Class, 128> classify();
  Class class_of(char32_t code_point) const;
};

// White space divides and disappears.
struct WhitespaceSplit {
  void split(std::string_view text, Span span, std::vector<Span>& out) const;
};

// The pieces are the matches of \w+|[^\w\s]+.
struct WordRuns {
  void split(std::string_view text, Span span, std::vector<Span>& out) const;
};

// At each punctuation character.
struct PunctuationSplit {
  Delimiter behavior;
  void split(std::string_view text, Span span, std::vector<Span>& out) const;
};

using PreTokenizerStep = std::variant<BertSplit, WhitespaceSplit, WordRuns, PunctuationSplit>;

// A sequence of steps, each splitting the pieces of the one before; with none the whole text is one piece.
class PreTokenizer {
 public:
  PreTokenizer() = default;
  explicit PreTokenizer(std::vector<PreTokenizerStep> steps) : steps_(std::move(steps)) {}

  // Replaces `pieces` by those of `text`, which is valid UTF-8 of less than 4 GiB.
  void split(std::string_view text, std::vector<Span>& pieces) const;

 private:
  std::vector<PreTokenizerStep> steps_;
};

// From tokenizer.json's "pre_tokenizer". Throws Error(kInvalidFile) and Error(kUnsupported).
PreTokenizer parse_pre_tokenizer(const std::optional<JsonValue>& json);

}  // namespace remuda::text
