// Text to token ids and back, exactly as the Hugging Face `tokenizers` library does it from the same tokenizer.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace remuda::text {

struct LoadOptions {
  // Makes letters small before anything else, as sentence-transformers does where a model says do_lower_case: a
  // Lowercase before the normalizer, unless it has one.
  bool lower_case = false;
  // The text of a JSON object whose fields replace those of tokenizer_config.json, as keyword arguments do with
  // transformers' from_pretrained; empty: none.
  std::string config_overrides = {};
};

struct EncodeOptions {
  bool add_special_tokens = true;
  // The most ids to return, special tokens included. The text is cut on the side that the files name, on the right
  // where they name none. None: no truncation, whatever tokenizer.json says.
  std::optional<int64_t> max_length;
};

struct Encoding {
  std::vector<int32_t> ids;
  // Tokens that the whole text has, special tokens included; ids.size() of them were kept.
  int64_t total_tokens = 0;
  bool truncated = false;
  // Malformed UTF-8 sequences, each read as one U+FFFD (the WHATWG's maximal-subpart rule).
  int64_t invalid_sequences = 0;
};

struct DecodeOptions {
  bool skip_special_tokens = false;
  // Whether spaces before punctuation and contractions go, as transformers' clean_up_tokenization has it; none: as
  // tokenizer_config.json says, else not. Like transformers 5, never for a BPE model, whose spaces are the text's own.
  std::optional<bool> clean_up_tokenization_spaces;
};

// Immutable after loading: any number of threads may use one at once.
class Tokenizer {
 public:
  struct Impl;

  // As transformers' AutoTokenizer makes it of tokenizer.json or, where there is none, of the class's vocabulary files
  // (a SentencePiece file, vocab.json and merges.txt, or vocab.txt); with tokenizer_config.json,
  // special_tokens_map.json, added_tokens.json and config.json. Throws Error: kNotFound, kInvalidFile, kUnsupported,
  // each naming file and field.
  static Tokenizer load(const std::filesystem::path& model_directory, const LoadOptions& options = {});
  // From the text of a tokenizer.json.
  static Tokenizer from_json(const JsonDocument& document, const LoadOptions& options = {});

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  Encoding encode(std::string_view text, const EncodeOptions& options = {}) const;
  // The same into an encoding whose memory is used again.
  void encode(std::string_view text, const EncodeOptions& options, Encoding& out) const;

  // The text of some ids, equal to transformers' `decode` (but for what the options say, to that of `tokenizers`). An
  // id that has no token gives nothing. Throws Error(kUnsupported) when tokenizer.json asks for absurdly long text.
  std::string decode(std::span<const int32_t> ids, const DecodeOptions& options = {}) const;

  // One more than the largest id, added tokens included.
  int32_t vocab_size() const;
  // nullopt for an id that has no token, or a token that is not there.
  std::optional<std::string_view> id_to_token(int32_t id) const;
  std::optional<int32_t> token_to_id(std::string_view token) const;
  // The model's own limit if the files give one (tokenizer_config.json's model_max_length below 10^9). Throws
  // Error(kInvalidFile) when what they give is no length.
  std::optional<int64_t> model_max_length() const;
  // Memory held, in bytes.
  size_t bytes() const;

 private:
  friend class TextStream;
  explicit Tokenizer(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

// Decodes ids as they come: what `add` and at last `finish` return is together what `decode` makes of all ids. Text is
// given away once no later id can change it, and never a part of a character. Not thread-safe.
class TextStream {
 public:
  // The tokenizer must outlive it.
  explicit TextStream(const Tokenizer& tokenizer, const DecodeOptions& options = {});
  TextStream(TextStream&&) noexcept;
  TextStream& operator=(TextStream&&) noexcept;
  ~TextStream();

  // The text that is settled now, perhaps none. Throws as `decode` does.
  std::string add(int32_t id);
  std::string add(std::span<const int32_t> ids);
  // The rest. The next id begins another text.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace remuda::text
