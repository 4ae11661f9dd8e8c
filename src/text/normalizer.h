// What happens to a text before it is split: the normalizers of tokenizer.json. A new kind is a struct with a
// `normalize`, an alternative of NormalizerStep, and a line in parse_normalizer.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/json.h"
#include "text/precompiled.h"
#include "text/unicode.h"

namespace remuda::text {

// Each step appends the normalized form of `text`, which is valid UTF-8, to `out`. One that may drop characters has
// `drops_start`, whether it does so with the first of a text that is not empty.

// BERT's: https://github.com/google-research/bert, tokenization.py (clean text, spaces around CJK, strip accents
// after NFD, lower case), with each part as a switch.
class BertNormalizer {
 public:
  struct Options {
    bool clean_text = true;
    bool handle_chinese_chars = true;
    bool strip_accents = true;
    bool lowercase = true;
  };

  explicit BertNormalizer(const Options& options);
  bool drops_start(std::string_view text) const;
  void normalize(std::string_view text, std::string& out) const;

 private:
  void normalize_ascii(std::string_view text, std::string& out) const;
  void normalize_code_point(char32_t code_point, std::string& out, std::u32string& nonstarters) const;
  void strip_and_append(char32_t code_point, std::string& out, std::u32string& nonstarters) const;
  void flush(std::string& out, std::u32string& nonstarters) const;
  void append(char32_t code_point, uint16_t properties, std::string& out) const;

  Options options_;
  const UnicodeTable* table_;
  // What an ASCII character becomes; kDropped for nothing.
  std::array<uint8_t, 128> ascii_;
};

// NFC, NFD, NFKC, NFKD.
struct UnicodeForm {
  bool compatibility;
  bool compose;
  void normalize(std::string_view text, std::string& out) const;
};

struct Lowercase {
  // Whether a sigma that ends a word becomes a final one, as in Python's str.lower.
  bool final_sigma = false;
  void normalize(std::string_view text, std::string& out) const;
};

// Drops marks, without decomposing first.
struct StripAccents {
  bool drops_start(std::string_view text) const;
  void normalize(std::string_view text, std::string& out) const;
};

// Makes one space of two white space characters and more, and of a line end or a tab: \s{2,}|[\n\r\t].
struct FoldWhiteSpace {
  void normalize(std::string_view text, std::string& out) const;
};

// Drops white space at the ends.
struct Strip {
  bool left;
  bool right;
  bool drops_start(std::string_view text) const;
  void normalize(std::string_view text, std::string& out) const;
};

// Replaces a string, which is not empty, or runs of it; of regular expressions only those that say as much are
// supported. It stops once `out` is longer than `max_bytes`, for the caller to refuse.
struct Replace {
  std::string pattern;
  std::string content;
  // The least times that `pattern` follows itself in a match, which then is as long as it can be; 0: a match is
  // `pattern` once.
  size_t min_run = 0;
  bool drops_start(std::string_view text) const;
  void normalize(std::string_view text, std::string& out, size_t max_bytes) const;

 private:
  size_t match_end(std::string_view text, size_t position) const;
};

// From the fields of a Replace, which is a normalizer and a decoder.
Replace parse_replace(const JsonValue& json);

// SentencePiece's "nmt": controls disappear, white space and what is invisible become spaces.
struct Nmt {
  bool drops_start(std::string_view text) const;
  void normalize(std::string_view text, std::string& out) const;
};

// Puts a string before a text that isn't empty.
struct Prepend {
  std::string prefix;
  void normalize(std::string_view text, std::string& out) const;
};

using NormalizerStep = std::variant<BertNormalizer, UnicodeForm, Lowercase, StripAccents, FoldWhiteSpace, Strip,
                                    Replace, Prepend, Nmt, Precompiled>;

// A sequence of steps, perhaps none. Immutable.
class Normalizer {
 public:
  Normalizer() = default;
  explicit Normalizer(std::vector<NormalizerStep> steps) : steps_(std::move(steps)) {}

  bool empty() const { return steps_.empty(); }
  // Replaces `out`, which must not be what `text` views. Returns whether it begins with what the text's first character
  // has become, and not because that is gone with a later one. Throws Error(kUnsupported) when the result is absurdly
  // longer than the text: a few lines of tokenizer.json could ask for more than any memory.
  bool normalize(std::string_view text, std::string& out) const;

 private:
  std::vector<NormalizerStep> steps_;
};

// Puts a Lowercase first, as sentence-transformers does where a model says do_lower_case, unless there is one.
void prepend_lowercase(std::vector<NormalizerStep>& steps);

// From tokenizer.json's "normalizer". With `lower_case` a Lowercase comes first, unless the file's normalizer is one or
// a sequence that has one itself. Throws Error(kInvalidFile) and Error(kUnsupported).
Normalizer parse_normalizer(const std::optional<JsonValue>& json, bool lower_case = false);

}  // namespace remuda::text
