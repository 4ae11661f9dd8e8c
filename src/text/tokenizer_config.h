// What the small files of a model directory say about its tokenizer: tokenizer_config.json, special_tokens_map.json,
// added_tokens.json and, for the class, config.json. Which of them counts for what is decided here alone, as
// transformers 5 decides it (PreTrainedTokenizerBase._from_pretrained and AutoTokenizer.from_pretrained):
//
// - What the caller overrides comes first, then special_tokens_map.json, then tokenizer_config.json, then the class.
// - With "added_tokens_decoder" in tokenizer_config.json, special_tokens_map.json and added_tokens.json don't count,
//   nor do the added tokens of tokenizer.json for a class that builds its tokenizer anew.
// - An added token's id there only orders them: the vocabulary, or the order, gives it its id.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "text/token_setting.h"

namespace remuda::text {

constexpr uint64_t kMaxTokenizerFileBytes = uint64_t{1} << 28;

// In the order in which transformers adds these tokens.
constexpr std::array<std::string_view, 7> kNamedTokenFields = {"bos_token", "eos_token", "unk_token", "sep_token",
                                                               "pad_token", "cls_token", "mask_token"};

// Immutable.
class TokenizerConfig {
 public:
  // A special token by its field ("cls_token"); none: the file says null, so that there isn't one.
  using NamedToken = std::pair<std::string, std::optional<TokenSetting>>;

  TokenizerConfig() = default;
  // Reads what is there of the files. `overrides`: the text of a JSON object whose fields replace those of
  // tokenizer_config.json; empty: none. `tokenizer_json`: the root of that file, where there is one, for its added
  // tokens and the side that it truncates at. Throws Error: kInvalidFile, kIo.
  static TokenizerConfig read(const std::filesystem::path& directory, std::string_view overrides,
                              const std::optional<JsonValue>& tokenizer_json);

  // "tokenizer_class" of tokenizer_config.json, or else of config.json; empty: neither has it.
  const std::string& class_name() const { return class_name_; }
  // config.json's; empty: it has none.
  const std::string& model_type() const { return model_type_; }

  // A field of the overrides or of tokenizer_config.json; null is the same as missing.
  std::optional<JsonValue> find(std::string_view key) const;
  bool flag(std::string_view key, bool fallback) const;
  // Of the overrides alone.
  std::optional<JsonValue> find_override(std::string_view key) const;

  // Those that a file names, in transformers' order: bos, eos, unk, sep, pad, cls, mask, then a model's own.
  const std::vector<NamedToken>& named_tokens() const { return named_; }
  // Tokens to add to the vocabulary before the special ones.
  const std::vector<TokenSetting>& added_tokens() const { return added_; }
  // "extra_special_tokens", once "additional_special_tokens"; none: the class's own.
  const std::optional<std::vector<TokenSetting>>& extra_tokens() const { return extra_; }

  bool beside_tokenizer_json() const { return beside_tokenizer_json_; }
  bool truncates_left() const { return truncates_left_; }
  // What a text may be long; nullopt: no limit is given. Throws Error(kInvalidFile) for what is no length: only who
  // asks needs it to be one.
  std::optional<int64_t> model_max_length() const;

 private:
  class Reader;

  std::optional<JsonDocument> config_;
  std::optional<JsonDocument> overrides_;
  std::string class_name_;
  std::string model_type_;
  std::vector<NamedToken> named_;
  std::vector<TokenSetting> added_;
  std::optional<std::vector<TokenSetting>> extra_;
  bool beside_tokenizer_json_ = false;
  bool truncates_left_ = false;
};

}  // namespace remuda::text
