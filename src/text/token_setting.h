// A token as a file of settings names it, before a vocabulary gives it an id.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "text/added_tokens.h"

namespace remuda::text {

struct TokenSetting {
  std::string content;
  bool single_word = false;
  bool lstrip = false;
  bool rstrip = false;
  // Where the file doesn't say: sought in the normalized text unless the token is special.
  std::optional<bool> normalized;
  bool special = false;
  // Whether the file gives the content alone, so that a class may add flags of its own.
  bool is_string = true;

  // An id of 0, for AddedTokenList to replace.
  AddedToken to_added_token() const;
  bool operator==(const TokenSetting&) const = default;
};

// From a string, or an object with "content" and flags. Throws Error(kInvalidFile).
TokenSetting parse_token_setting(const JsonValue& json);
// From an array of those.
std::vector<TokenSetting> parse_token_settings(const JsonValue& json);

}  // namespace remuda::text
