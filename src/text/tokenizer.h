// Text to token ids, exactly as the Hugging Face `tokenizers` library does it from the same tokenizer.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace remuda::text {

struct EncodeOptions {
  bool add_special_tokens = true;
  // The most ids to return, special tokens included (longest-first truncation on the right, as Hugging Face does it);
  // none: no truncation, whatever tokenizer.json says.
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

// Immutable after loading: any number of threads may use one at once.
class Tokenizer {
 public:
  struct Impl;

  // From tokenizer.json or, where there is none, from vocab.txt and tokenizer_config.json. Throws Error: kNotFound,
  // kInvalidFile, kUnsupported, each naming file and field.
  static Tokenizer load(const std::filesystem::path& model_directory);
  // From the text of a tokenizer.json.
  static Tokenizer from_json(const JsonDocument& document);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  Encoding encode(std::string_view text, const EncodeOptions& options = {}) const;
  // The same into an encoding whose memory is used again.
  void encode(std::string_view text, const EncodeOptions& options, Encoding& out) const;

  // One more than the largest id, added tokens included.
  int32_t vocab_size() const;
  // nullopt for an id that has no token, or a token that is not there.
  std::optional<std::string_view> id_to_token(int32_t id) const;
  std::optional<int32_t> token_to_id(std::string_view token) const;
  // The model's own limit if the files give one (tokenizer_config.json's model_max_length below 10^9).
  std::optional<int64_t> model_max_length() const;
  // Memory held, in bytes.
  size_t bytes() const;

 private:
  explicit Tokenizer(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

}  // namespace remuda::text
