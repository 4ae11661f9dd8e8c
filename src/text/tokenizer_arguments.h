// What transformers calls a tokenizer's class with: the special and added tokens, and the switches, that a directory's
// tokenizer_config.json, special_tokens_map.json and added_tokens.json give together, in its order of precedence.
#pragma once

#include <array>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/added_tokens.h"

namespace remuda::text {

// A token as a plain string, which makes a special token of it, or with flags.
struct TokenArgument {
  std::string content;
  bool is_text = true;  // No flags were given.
  bool single_word = false;
  bool lstrip = false;
  bool rstrip = false;
  bool special = false;
  std::optional<bool> normalized;  // None: not, for a special token.

  static TokenArgument text(std::string_view content);
  // A special token with flags.
  static TokenArgument flagged(std::string_view content, bool lstrip);
  bool operator==(const TokenArgument& other) const;
};

// In the order in which transformers adds them to the vocabulary.
enum class NamedToken { kBos, kEos, kUnknown, kSep, kPad, kCls, kMask };
constexpr size_t kNamedTokens = 7;

class TokenizerArguments {
 public:
  // `config` is tokenizer_config.json's, where that is there; the fields of `overrides` count before all others. Throws
  // Error(kInvalidFile).
  TokenizerArguments(const std::filesystem::path& directory, const std::optional<JsonValue>& config,
                     const std::optional<JsonValue>& overrides);

  // Gives a token that no file names. The files may also say that there is none.
  void set_default(NamedToken name, TokenArgument token);
  // Makes a named token that is a plain string one with flags.
  void flag_text(NamedToken name, bool lstrip);
  const std::optional<TokenArgument>& named(NamedToken name) const { return at(name).token; }
  // As Python writes it: "None" where the files say that there is none, `fallback` where they say nothing.
  std::string text_of(NamedToken name, std::string_view fallback) const;

  // Special tokens without a role; nullopt: the files don't say, not even that there are none.
  const std::optional<std::vector<TokenArgument>>& extra() const { return extra_; }
  // By the id that the files give them.
  const std::map<int64_t, TokenArgument>& added() const { return added_; }

  bool has(std::string_view key) const { return find(key).has_value(); }
  // `null`: what null means; it is false to most of Python.
  bool flag(std::string_view key, bool fallback, bool null = false) const;
  int64_t number(std::string_view key, int64_t fallback, int64_t min, int64_t max) const;
  // nullopt: null.
  std::optional<std::string> string(std::string_view key, std::string_view fallback) const;

  // All tokens to add, in order, as transformers adds them: those with ids, the named ones, then `extra`. Ids are those
  // of `vocabulary` or the next ones from `next_id` on.
  std::vector<AddedToken> resolve(const std::vector<TokenArgument>& extra, const Vocabulary& vocabulary,
                                  int32_t next_id) const;

 private:
  struct Named {
    bool given = false;
    bool from_object = false;  // tokenizer_config.json has flags for it.
    std::optional<TokenArgument> token;
  };
  Named& at(NamedToken name) { return named_[static_cast<size_t>(name)]; }
  const Named& at(NamedToken name) const { return named_[static_cast<size_t>(name)]; }
  // A field that is there, if only as null.
  std::optional<JsonValue> find(std::string_view key) const;

  void read_fields(const JsonValue& root);
  void read_extra_fields();
  void read_extra(const JsonValue& value);
  void read_special_tokens_map(const std::filesystem::path& path);
  void read_added_tokens(const std::filesystem::path& path);
  void take_flags_from_added();
  void set_specific(std::string_view name, TokenArgument token);
  std::vector<TokenArgument> to_add(const std::vector<TokenArgument>& extra) const;

  std::optional<JsonValue> config_;
  std::optional<JsonValue> overrides_;
  std::array<Named, kNamedTokens> named_;
  std::vector<std::pair<std::string, TokenArgument>> specific_;  // Named tokens of a model's own, like "image_token".
  std::optional<std::vector<TokenArgument>> extra_;
  std::map<int64_t, TokenArgument> added_;
};

}  // namespace remuda::text
