// Tokens back to text: the decoders of tokenizer.json. A new kind is a struct with `push` and `finish`, an alternative
// of DecoderStep, and a line in parse_decoder.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/json.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"

namespace remuda::text {

// A step takes tokens one after the other and appends what it makes of them to `out`, each as soon as no later token
// can change it; `finish` says that none will come. What it holds back meanwhile is its state: a tokenizer keeps the
// steps as they are at the start, and each decoding works on a copy.
using Tokens = std::vector<std::string>;

// The characters that GPT-2 writes bytes with, back to bytes; what is no UTF-8 becomes U+FFFD. A token with any other
// character stays as it is. All is one token then, given away piece by piece when no step comes after.
struct ByteLevelDecode {
  bool is_last = true;
  std::string bytes;
  void push(std::string token, Tokens& out);
  void finish(Tokens& out);
};

// "##ing" goes on, other tokens are set off by a space.
struct WordPieceDecode {
  std::string prefix;
  bool clean_up;
  bool is_first = true;
  void push(std::string token, Tokens& out);
  void finish(Tokens& /*out*/) {}
};

// Visible spaces back to spaces, those of the first token to nothing if one was put there.
struct MetaspaceDecode {
  MetaspaceSplit metaspace;
  bool is_first = true;
  void push(std::string token, Tokens& out);
  void finish(Tokens& /*out*/) {}
};

// The end-of-word suffix to a space, but in the last token.
struct SuffixDecode {
  std::string suffix;
  std::optional<std::string> held;
  void push(std::string token, Tokens& out);
  void finish(Tokens& out);
};

// Runs of tokens like "<0x0A>" to the text that their bytes are, or to a U+FFFD for each.
struct ByteFallbackDecode {
  std::string bytes;
  void push(std::string token, Tokens& out);
  void finish(Tokens& out);
};

// All tokens to one, for the steps after it.
struct FuseDecode {
  std::string text;
  void push(std::string token, Tokens& /*out*/) { text += token; }
  void finish(Tokens& out) { out.push_back(std::move(text)); }
};

// Drops up to `start` and `stop` times a character at the ends of each token.
struct StripDecode {
  std::string content;
  size_t start;
  size_t stop;
  void push(std::string token, Tokens& out);
  void finish(Tokens& /*out*/) {}
};

// Drops up to `count` times a character at the start of the whole text: a Fuse and a Strip after it.
struct StripStart {
  std::string content;
  size_t count;
  void push(std::string token, Tokens& out);
  void finish(Tokens& /*out*/) {}
};

struct ReplaceDecode {
  Replace replace;
  void push(std::string token, Tokens& out);
  void finish(Tokens& /*out*/) {}
};

// What there is without a decoder.
struct JoinWithSpaces {
  bool is_first = true;
  void push(std::string token, Tokens& out);
  void finish(Tokens& /*out*/) {}
};

// The spaces before punctuation and contractions that transformers' clean_up_tokenization drops.
struct CleanUp {
  std::string text;
  void push(std::string token, Tokens& out);
  void finish(Tokens& out);
};

using DecoderStep = std::variant<ByteLevelDecode, WordPieceDecode, MetaspaceDecode, SuffixDecode, ByteFallbackDecode,
                                 FuseDecode, StripDecode, StripStart, ReplaceDecode, JoinWithSpaces, CleanUp>;

// One decoding under way. Not thread-safe.
class Decoding {
 public:
  explicit Decoding(std::vector<DecoderStep> steps) : steps_(std::move(steps)) {}

  // Appends to `text` what is settled with these tokens; with `last` nothing is held back. Throws Error(kUnsupported)
  // when a replacement makes a token absurdly longer.
  void advance(Tokens tokens, bool last, std::string& text);

 private:
  std::vector<DecoderStep> steps_;
};

// From tokenizer.json's "decoder". Throws Error(kInvalidFile) and Error(kUnsupported).
std::vector<DecoderStep> parse_decoder(const std::optional<JsonValue>& json);

}  // namespace remuda::text
