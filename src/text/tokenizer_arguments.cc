#include "text/tokenizer_arguments.h"

#include <algorithm>
#include <tuple>
#include <unordered_map>

#include "base/fail.h"
#include "base/files.h"
#include "base/log.h"
#include "text/tokenizer_config.h"

namespace remuda::text {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, kNamedTokens> kNames = {"bos_token", "eos_token", "unk_token", "sep_token",
                                                               "pad_token", "cls_token", "mask_token"};
constexpr size_t kMaxTokens = size_t{1} << 18;

std::optional<size_t> index_of(std::string_view key) {
  const auto found = std::find(kNames.begin(), kNames.end(), key);
  return found == kNames.end() ? std::nullopt : std::optional(static_cast<size_t>(found - kNames.begin()));
}

bool is_normalized(const TokenArgument& token) { return token.normalized.value_or(!token.special); }

TokenArgument parse_token(const JsonValue& json) {
  if (!json.is_object()) {
    if (!json.is_string()) json.fail_expected("a string, or an object with \"content\"");
    return TokenArgument::text(json.as_string());
  }
  TokenArgument token = TokenArgument::text(json.at("content").as_string());
  token.is_text = false;
  token.single_word = json.bool_or("single_word", false);
  token.lstrip = json.bool_or("lstrip", false);
  token.rstrip = json.bool_or("rstrip", false);
  token.special = json.bool_or("special", false);
  if (const auto normalized = json.find("normalized")) token.normalized = normalized->as_bool();
  return token;
}

std::vector<TokenArgument> parse_tokens(const JsonValue& json) {
  const auto items = json.items();
  if (items.size() > kMaxTokens) json.fail_expected(fmt::format("at most {} tokens", kMaxTokens));
  std::vector<TokenArgument> tokens;
  tokens.reserve(items.size());
  for (const JsonValue& item : items) tokens.push_back(parse_token(item));
  return tokens;
}

// The last of its name, if only null.
std::optional<JsonValue> find_member(const JsonValue& root, std::string_view key) {
  std::optional<JsonValue> found;
  for (const auto& [name, value] : root.members()) {
    if (name == key) found = value;
  }
  return found;
}

int64_t parse_id(const JsonValue& where, std::string_view key) {
  int64_t id = 0;
  for (const char digit : key) {
    if (digit < '0' || digit > '9' || id > Vocabulary::kMaxId) where.fail_expected("ids as keys");
    id = id * 10 + (digit - '0');
  }
  if (key.empty() || id > Vocabulary::kMaxId) where.fail_expected(fmt::format("ids up to {}", Vocabulary::kMaxId));
  return id;
}

}  // namespace

TokenArgument TokenArgument::text(std::string_view content) {
  if (content.size() > Vocabulary::kMaxTokenBytes) {
    fail(ErrorCode::kInvalidFile, "special tokens: expected at most {} bytes, found {} (\"{}\"...)",
         Vocabulary::kMaxTokenBytes, content.size(), content.substr(0, 60));
  }
  TokenArgument token;
  token.content = content;
  return token;
}

TokenArgument TokenArgument::flagged(std::string_view content, bool lstrip) {
  TokenArgument token = text(content);
  token.is_text = false;
  token.lstrip = lstrip;
  token.special = true;
  return token;
}

bool TokenArgument::operator==(const TokenArgument& other) const {
  return content == other.content && is_text == other.is_text &&
         (is_text ||
          std::tuple(single_word, lstrip, rstrip, special, is_normalized(*this)) ==
              std::tuple(other.single_word, other.lstrip, other.rstrip, other.special, is_normalized(other)));
}

TokenizerArguments::TokenizerArguments(const fs::path& directory, const std::optional<JsonValue>& config,
                                       const std::optional<JsonValue>& overrides)
    : config_(config), overrides_(overrides) {
  if (config_) read_fields(*config_);
  if (overrides_) read_fields(*overrides_);
  read_extra_fields();
  if (const auto decoder = find("added_tokens_decoder")) {
    if (decoder->is_null()) decoder->fail_expected("an object");
    for (const auto& [id, token] : decoder->members()) added_[parse_id(*decoder, id)] = parse_token(token);
  } else {
    read_special_tokens_map(directory / "special_tokens_map.json");
    read_added_tokens(directory / "added_tokens.json");
  }
  take_flags_from_added();
}

std::optional<JsonValue> TokenizerArguments::find(std::string_view key) const {
  std::optional<JsonValue> found;
  if (overrides_) found = find_member(*overrides_, key);
  return found || !config_ ? found : find_member(*config_, key);
}

void TokenizerArguments::read_fields(const JsonValue& root) {
  for (const auto& [key, value] : root.members()) {
    if (const auto index = index_of(key)) {
      named_[*index].given = true;
      named_[*index].from_object = value.is_object();
      named_[*index].token = value.is_null() ? std::nullopt : std::optional(parse_token(value));
    } else if (key.ends_with("_token") && value.is_string()) {
      set_specific(key, TokenArgument::text(value.as_string()));
    }
  }
}

// The older name counts where the newer one has nothing.
void TokenizerArguments::read_extra_fields() {
  const auto extra = find("extra_special_tokens");
  const auto additional = find("additional_special_tokens");
  const auto is_empty = [](const JsonValue& value) {
    return value.is_null() || (value.is_array() ? value.items().empty() : value.members().empty());
  };
  if (additional && (!extra || is_empty(*extra))) {
    read_extra(*additional);
  } else if (extra) {
    read_extra(*extra);
  }
}

// A list, or an object of tokens by a name of the model's own.
void TokenizerArguments::read_extra(const JsonValue& value) {
  if (value.is_object()) {
    for (const auto& [name, token] : value.members()) set_specific(name, parse_token(token));
    return;
  }
  extra_ = value.is_null() ? std::vector<TokenArgument>() : parse_tokens(value);
}

void TokenizerArguments::set_specific(std::string_view name, TokenArgument token) {
  for (auto& [known, value] : specific_) {
    if (known == name) {
      value = std::move(token);
      return;
    }
  }
  specific_.emplace_back(name, std::move(token));
}

void TokenizerArguments::read_special_tokens_map(const fs::path& path) {
  if (!file_exists(path)) return;
  const JsonDocument document = JsonDocument::parse_file(path, kMaxTokenizerFileBytes);
  for (const auto& [key, value] : document.root().members()) {
    if (overrides_ && overrides_->find(key)) continue;
    if (key == "extra_special_tokens" && value.is_array()) {
      if (!extra_) extra_.emplace();
      for (TokenArgument& token : parse_tokens(value)) {
        token.special |= !token.is_text;
        if (std::find(extra_->begin(), extra_->end(), token) == extra_->end()) extra_->push_back(std::move(token));
      }
      continue;
    }
    if (key == "additional_special_tokens") {
      log::info("{}: transformers puts the control and user-defined pieces of the SentencePiece model in their place",
                value.where());
      continue;
    }
    const auto index = index_of(key);
    if (!index && !(key.ends_with("_token") && (value.is_string() || value.is_object()))) continue;
    std::optional<TokenArgument> token;
    if (!value.is_null()) token = parse_token(value);
    if (token) token->special |= !token->is_text;
    if (index) {
      named_[*index] = {.given = true, .from_object = false, .token = std::move(token)};
    } else {
      set_specific(key, std::move(*token));
    }
  }
}

void TokenizerArguments::read_added_tokens(const fs::path& path) {
  if (!file_exists(path)) return;
  const JsonDocument document = JsonDocument::parse_file(path, kMaxTokenizerFileBytes);
  const auto members = document.root().members();
  if (members.size() > kMaxTokens) document.root().fail_expected(fmt::format("at most {} tokens", kMaxTokens));
  const auto is_special = [&](std::string_view content) {
    const auto names_it = [&](const Named& named) {
      return named.token && !named.from_object && named.token->content == content;
    };
    const auto is_it = [&](const TokenArgument& token) { return token.content == content; };
    return std::any_of(named_.begin(), named_.end(), names_it) ||
           (extra_ && std::any_of(extra_->begin(), extra_->end(), is_it));
  };
  for (const auto& [content, id] : members) {
    TokenArgument token = TokenArgument::text(content);
    token.is_text = false;
    token.special = is_special(content);
    token.normalized = !token.special;
    added_[id.as_int(0, Vocabulary::kMaxId)] = std::move(token);
  }
}

// A named token that is among those with ids has the flags that it has there.
void TokenizerArguments::take_flags_from_added() {
  for (Named& named : named_) {
    if (!named.token) continue;
    for (const auto& [id, token] : added_) {
      if (token.content == named.token->content) named.token = token;
    }
  }
}

void TokenizerArguments::set_default(NamedToken name, TokenArgument token) {
  if (!at(name).given) at(name) = {.given = true, .from_object = false, .token = std::move(token)};
}

void TokenizerArguments::flag_text(NamedToken name, bool lstrip) {
  if (auto& token = at(name).token; token && token->is_text) token = TokenArgument::flagged(token->content, lstrip);
}

std::string TokenizerArguments::text_of(NamedToken name, std::string_view fallback) const {
  if (!at(name).given) return std::string(fallback);
  return at(name).token ? at(name).token->content : "None";
}

bool TokenizerArguments::flag(std::string_view key, bool fallback, bool null) const {
  const auto value = find(key);
  if (!value) return fallback;
  return value->is_null() ? null : value->as_bool();
}

int64_t TokenizerArguments::number(std::string_view key, int64_t fallback, int64_t min, int64_t max) const {
  const auto value = find(key);
  return value ? value->as_int(min, max) : fallback;
}

std::optional<std::string> TokenizerArguments::string(std::string_view key, std::string_view fallback) const {
  const auto value = find(key);
  if (!value) return std::string(fallback);
  if (value->is_null()) return std::nullopt;
  return std::string(value->as_string());
}

std::vector<TokenArgument> TokenizerArguments::to_add(const std::vector<TokenArgument>& extra) const {
  std::vector<TokenArgument> tokens;
  std::unordered_map<std::string_view, std::vector<const TokenArgument*>> by_content;
  for (const auto& [id, token] : added_) {
    tokens.push_back(token);
    by_content[token.content];  // Whatever else has this content isn't looked at.
  }
  const auto offer = [&](const TokenArgument& token) {
    const auto [seen, is_new] = by_content.try_emplace(token.content);
    if (!is_new && seen->second.empty()) return;
    for (const TokenArgument* other : seen->second) {
      if (*other == token) return;
    }
    seen->second.push_back(&token);
    tokens.push_back(token);
  };
  for (const Named& named : named_) {
    if (named.token) offer(*named.token);
  }
  for (const auto& [name, token] : specific_) offer(token);
  for (const TokenArgument& token : extra) offer(token);
  const auto is_named = [&](const std::string& content) {
    const auto has = [&](const std::optional<TokenArgument>& token) { return token && token->content == content; };
    return std::any_of(named_.begin(), named_.end(), [&](const Named& named) { return has(named.token); }) ||
           std::any_of(specific_.begin(), specific_.end(), [&](const auto& named) { return has(named.second); });
  };
  for (TokenArgument& token : tokens) token.special |= token.is_text || is_named(token.content);
  return tokens;
}

std::vector<AddedToken> TokenizerArguments::resolve(const std::vector<TokenArgument>& extra,
                                                    const Vocabulary& vocabulary, int32_t next_id) const {
  std::vector<AddedToken> added;
  std::unordered_map<std::string, size_t> index;
  for (const TokenArgument& token : to_add(extra)) {
    if (token.content.empty()) continue;
    AddedToken resolved;
    resolved.content = token.content;
    resolved.single_word = token.single_word;
    resolved.lstrip = token.lstrip;
    resolved.rstrip = token.rstrip;
    resolved.normalized = is_normalized(token);
    resolved.special = token.special;
    const auto [seen, is_new] = index.try_emplace(token.content, added.size());
    if (!is_new) {
      // The flags that came last count, but once special it stays so.
      resolved.id = added[seen->second].id;
      resolved.special |= added[seen->second].special;
      added[seen->second] = std::move(resolved);
      continue;
    }
    const auto known = vocabulary.find(token.content);
    resolved.id = known ? *known : next_id++;
    added.push_back(std::move(resolved));
  }
  return added;
}

}  // namespace remuda::text
