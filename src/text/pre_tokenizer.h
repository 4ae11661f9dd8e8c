// How a normalized text is split into the pieces that the model sees: the pre-tokenizers of tokenizer.json. A new
// kind is a struct with a `split` (or, if it changes the text, a `rewrite`), an alternative of PreTokenizerStep, and a
// line in parse_pre_tokenizer.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/json.h"
#include "text/pieces.h"
#include "text/unicode.h"

namespace remuda::text {

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

// At each number, or at each run of numbers.
struct DigitSplit {
  bool individual;
  void split(std::string_view text, Span span, std::vector<Span>& out) const;
};

// At each occurrence of a string, or, with `invert`, at everything else.
struct StringSplit {
  std::string pattern;
  Delimiter behavior;
  bool invert;
  void split(std::string_view text, Span span, std::vector<Span>& out) const;
};

// A step that changes the text has `rewrites`, whether it would change this piece, and `rewrite`, which appends what it
// makes of the piece to `text_out` and the pieces of that to `out`. `at_start`: the piece begins the whole text.

// GPT-2's: its regular expression splits, then each byte is written as a character.
struct ByteLevelSplit {
  bool add_prefix_space;
  bool use_regex;
  // Whether the bytes are written as characters here; otherwise the model does it, which needn't for what it knows.
  bool map_bytes = true;

  bool rewrites(std::string_view text, Span span, bool at_start) const;
  void rewrite(std::string_view text, Span span, bool at_start, std::string& text_out, std::vector<Span>& out) const;
  void split(std::string_view text, Span span, std::vector<Span>& out) const;
};

// SentencePiece's: spaces become a visible character, which also begins the text; each piece begins with one.
struct MetaspaceSplit {
  enum class Prepend { kAlways, kFirst, kNever };
  std::string replacement;
  Prepend prepend;
  bool split_pieces;

  bool rewrites(std::string_view text, Span span, bool at_start) const;
  void rewrite(std::string_view text, Span span, bool at_start, std::string& text_out, std::vector<Span>& out) const;
  void split(std::string_view text, Span span, std::vector<Span>& out) const;
};

// From the fields of a Metaspace, which is a pre-tokenizer and a decoder.
MetaspaceSplit parse_metaspace(const JsonValue& json);

using PreTokenizerStep = std::variant<BertSplit, WhitespaceSplit, WordRuns, PunctuationSplit, DigitSplit, StringSplit,
                                      ByteLevelSplit, MetaspaceSplit>;

// A sequence of steps, each splitting the pieces of the one before; with none the whole text is one piece.
class PreTokenizer {
 public:
  PreTokenizer() = default;
  explicit PreTokenizer(std::vector<PreTokenizerStep> steps) : steps_(std::move(steps)) {}

  // Replaces `pieces` by those of `text`, which is valid UTF-8 of less than 1 GiB and must outlive them. `at_start`:
  // nothing stands before it in the whole text. Throws Error(kUnsupported) when the result would pass 4 GiB.
  void split(std::string_view text, bool at_start, Pieces& pieces) const;

  // Whether each byte of a piece is written as a character at the end. `leave_bytes_to_model` then takes that away, for
  // a model that does it itself.
  bool ends_with_bytes() const;
  void leave_bytes_to_model();

 private:
  std::vector<PreTokenizerStep> steps_;
};

// From tokenizer.json's "pre_tokenizer". Throws Error(kInvalidFile) and Error(kUnsupported).
PreTokenizer parse_pre_tokenizer(const std::optional<JsonValue>& json);

}  // namespace remuda::text
