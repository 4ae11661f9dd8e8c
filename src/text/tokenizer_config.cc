#include "text/tokenizer_config.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "base/fail.h"
#include "base/files.h"
#include "text/tokenizer_config_keys.h"

namespace remuda::text {
namespace {

namespace fs = std::filesystem;

// Hugging Face writes 10^30 for "none".
constexpr double kNoMaxLength = 1e9;

bool is_named_field(std::string_view key) {
  return std::ranges::find(kNamedTokenFields, key) != kNamedTokenFields.end();
}

std::optional<JsonDocument> parse_if_there(const fs::path& path) {
  if (!file_exists(path)) return std::nullopt;
  return JsonDocument::parse_file(path, kMaxTokenizerFileBytes);
}

// A token of a model's own, such as "image_token": a string, or an object that says what it is.
bool is_own_token(std::string_view key, const JsonValue& value) {
  return key.ends_with("_token") && (value.is_string() || (value.is_object() && value.find("content")));
}

int64_t parse_id_key(std::string_view key, const JsonValue& json) {
  int64_t id = -1;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
  if (error != std::errc() || end != key.data() + key.size() || id < 0) json.fail_expected("ids as its keys");
  return id;
}

}  // namespace

// Puts the files' fields together in the order in which they count.
class TokenizerConfig::Reader {
 public:
  Reader(const fs::path& directory, TokenizerConfig& config) : directory_(directory), config_(&config) {}

  void read(std::string_view overrides, const std::optional<JsonValue>& tokenizer_json) {
    config_->config_ = parse_if_there(directory_ / "tokenizer_config.json");
    if (!overrides.empty()) {
      config_->overrides_ = JsonDocument::parse(overrides, "the tokenizer's arguments");
    }
    if (config_->config_) read_fields(config_->config_->root());
    if (config_->overrides_) read_fields(config_->overrides_->root());
    read_extra_tokens();
    if (const auto decoder = config_->find("added_tokens_decoder")) {
      for (const auto& [id, token] : decoder->members())
        added_[parse_id_key(id, *decoder)] = parse_token_setting(token);
    } else {
      read_special_tokens_map();
      read_added_tokens_file();
      if (tokenizer_json) read_tokenizer_json(*tokenizer_json);
    }
    finish();
    read_class();
    read_truncation_side(tokenizer_json);
  }

 private:
  void read_fields(const JsonValue& root) {
    for (const auto& [key, value] : root.members()) {
      if (key == "extra_special_tokens") extra_field_ = value;
      if (key == "additional_special_tokens") additional_field_ = value;
      read_named(key, value);
    }
  }

  void read_extra_tokens() {
    std::optional<JsonValue> extra = extra_field_;
    // An empty list of the newer name lets the older one count.
    const bool newer_counts =
        extra && ((extra->is_array() && !extra->items().empty()) || (extra->is_object() && !extra->members().empty()));
    if (additional_field_ && !newer_counts) extra = additional_field_;
    if (!extra) return;
    extra_.emplace();
    if (extra->is_array()) extra_ = parse_token_settings(*extra);
    if (extra->is_object()) read_own_tokens(*extra);
  }

  void read_named(std::string_view key, const JsonValue& value) {
    if (is_named_field(key)) {
      set_named(key, value.is_null() ? std::nullopt : std::optional(parse_token_setting(value)));
    } else if (is_own_token(key, value)) {
      set_named(key, parse_token_setting(value));
    }
  }

  void read_own_tokens(const JsonValue& json) {
    for (const auto& [key, value] : json.members()) set_named(key, parse_token_setting(value));
  }

  void set_named(std::string_view key, std::optional<TokenSetting> token) {
    const auto found = std::ranges::find(named_, key, &NamedToken::first);
    if (found == named_.end()) {
      named_.emplace_back(key, std::move(token));
    } else {
      found->second = std::move(token);
    }
  }

  void read_special_tokens_map() {
    const auto document = parse_if_there(directory_ / "special_tokens_map.json");
    if (!document) return;
    for (const auto& [key, value] : document->root().members()) {
      if (config_->find_override(key)) continue;
      if (key == "extra_special_tokens" && value.is_array()) {
        if (!extra_) extra_.emplace();
        add_missing(parse_special(value), *extra_);
      } else if (key == "extra_special_tokens" && value.is_object()) {
        read_own_tokens(value);
      } else if (key == "additional_special_tokens" && value.is_array()) {
        if (!extra_) extra_ = parse_special(value);
      } else {
        read_named(key, value);
        mark_special(key);
      }
    }
  }

  static std::vector<TokenSetting> parse_special(const JsonValue& json) {
    std::vector<TokenSetting> tokens = parse_token_settings(json);
    for (TokenSetting& token : tokens) token.special = true;
    return tokens;
  }

  static void add_missing(std::vector<TokenSetting> tokens, std::vector<TokenSetting>& to) {
    for (TokenSetting& token : tokens) {
      if (std::ranges::find(to, token.content, &TokenSetting::content) == to.end()) to.push_back(std::move(token));
    }
  }

  void mark_special(std::string_view key) {
    const auto found = std::ranges::find(named_, key, &NamedToken::first);
    if (found != named_.end() && found->second) found->second->special = true;
  }

  bool is_special(std::string_view content) const {
    const auto same = [&](const NamedToken& named) {
      return is_named_field(named.first) && named.second && named.second->content == content;
    };
    return std::ranges::any_of(named_, same) ||
           (extra_ && std::ranges::find(*extra_, content, &TokenSetting::content) != extra_->end());
  }

  // Slow tokenizers' file, ids by token.
  void read_added_tokens_file() {
    const auto document = parse_if_there(directory_ / "added_tokens.json");
    if (!document) return;
    for (const auto& [content, id] : document->root().members()) {
      TokenSetting token;
      token.content = content;
      token.special = is_special(content);
      token.normalized = !token.special;
      token.is_string = false;
      added_[id.as_int()] = std::move(token);
    }
  }

  void read_tokenizer_json(const JsonValue& root) {
    const auto tokens = root.find("added_tokens");
    if (!tokens) return;
    for (const JsonValue& token : tokens->items()) added_[token.at("id").as_int()] = parse_token_setting(token);
  }

  // A named token has the flags that the added tokens give it.
  void finish() {
    const auto flags_of = [&](std::string_view content) -> const TokenSetting* {
      const TokenSetting* last = nullptr;
      for (const auto& [id, token] : added_) {
        if (token.content == content) last = &token;
      }
      return last;
    };
    std::vector<NamedToken>& ordered = config_->named_;
    for (const std::string_view field : kNamedTokenFields) {
      const auto found = std::ranges::find(named_, field, &NamedToken::first);
      if (found == named_.end()) continue;
      if (const TokenSetting* flags = found->second ? flags_of(found->second->content) : nullptr)
        found->second = *flags;
      ordered.push_back(std::move(*found));
    }
    for (NamedToken& named : named_) {
      if (!is_named_field(named.first)) ordered.push_back(std::move(named));
    }
    for (auto& [id, token] : added_) config_->added_.push_back(std::move(token));
    config_->extra_ = std::move(extra_);
  }

  void read_class() {
    const auto document = parse_if_there(directory_ / "config.json");
    const auto model = document ? std::optional(document->root()) : std::nullopt;
    if (const auto name = config_->find("tokenizer_class")) {
      config_->class_name_ = name->as_string();
    } else if (const auto fallback = model ? model->find("tokenizer_class") : std::nullopt) {
      config_->class_name_ = fallback->as_string();
    }
    if (const auto type = model ? model->find("model_type") : std::nullopt) config_->model_type_ = type->as_string();
  }

  void read_truncation_side(const std::optional<JsonValue>& tokenizer_json) {
    if (const auto side = config_->find("truncation_side")) {
      if (side->as_string() != "left" && side->as_string() != "right") side->fail_expected("left or right");
      config_->truncates_left_ = side->as_string() == "left";
    } else if (const auto truncation = tokenizer_json ? tokenizer_json->find("truncation") : std::nullopt) {
      config_->truncates_left_ = truncation->string_or("direction", "Right") == "Left";
    }
  }

  const fs::path& directory_;
  TokenizerConfig* config_;
  std::optional<JsonValue> extra_field_;
  std::optional<JsonValue> additional_field_;
  std::vector<NamedToken> named_;
  std::map<int64_t, TokenSetting> added_;
  std::optional<std::vector<TokenSetting>> extra_;
};

TokenizerConfig TokenizerConfig::read(const fs::path& directory, std::string_view overrides,
                                      const std::optional<JsonValue>& tokenizer_json) {
  TokenizerConfig config;
  config.beside_tokenizer_json_ = tokenizer_json.has_value();
  Reader(directory, config).read(overrides, tokenizer_json);
  if (config.config_) report_unknown_keys(config.config_->root());
  return config;
}

std::optional<JsonValue> TokenizerConfig::find(std::string_view key) const {
  if (overrides_) {
    // One that is null takes the file's away.
    for (const auto& [name, value] : overrides_->root().members()) {
      if (name == key) return value.is_null() ? std::nullopt : std::optional(value);
    }
  }
  return config_ ? config_->root().find(key) : std::nullopt;
}

std::optional<JsonValue> TokenizerConfig::find_override(std::string_view key) const {
  return overrides_ ? overrides_->root().find(key) : std::nullopt;
}

bool TokenizerConfig::flag(std::string_view key, bool fallback) const {
  const auto value = find(key);
  return value ? value->as_bool() : fallback;
}

std::optional<int64_t> TokenizerConfig::model_max_length() const {
  auto value = find("model_max_length");
  if (!value) value = find("max_len");
  if (!value) return std::nullopt;
  const double length = value->as_double();
  if (length >= kNoMaxLength) return std::nullopt;
  if (length < 1 || length != std::floor(length)) value->fail_expected("an integer from 1");
  return static_cast<int64_t>(length);
}

}  // namespace remuda::text
