#include "text/token_setting.h"

#include "text/vocabulary.h"

namespace remuda::text {

AddedToken TokenSetting::to_added_token() const {
  AddedToken token;
  token.content = content;
  token.single_word = single_word;
  token.lstrip = lstrip;
  token.rstrip = rstrip;
  token.normalized = normalized.value_or(!special);
  token.special = special;
  return token;
}

TokenSetting parse_token_setting(const JsonValue& json) {
  TokenSetting token;
  const JsonValue content = json.is_object() ? json.at("content") : json;
  if (content.as_string().size() > Vocabulary::kMaxTokenBytes) {
    content.fail_expected("at most 4096 bytes");
  }
  token.content = content.as_string();
  if (!json.is_object()) return token;
  token.is_string = false;
  token.single_word = json.bool_or("single_word", false);
  token.lstrip = json.bool_or("lstrip", false);
  token.rstrip = json.bool_or("rstrip", false);
  if (const auto normalized = json.find("normalized")) token.normalized = normalized->as_bool();
  token.special = json.bool_or("special", false);
  return token;
}

std::vector<TokenSetting> parse_token_settings(const JsonValue& json) {
  std::vector<TokenSetting> tokens;
  for (const JsonValue& item : json.items()) tokens.push_back(parse_token_setting(item));
  return tokens;
}

}  // namespace remuda::text
