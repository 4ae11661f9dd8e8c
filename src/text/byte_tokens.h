// Tokens like "<0x0A>", by which vocabularies that are made of characters name the bytes of any other.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "text/vocabulary.h"

namespace remuda::text {

// Appends the tokens of all bytes of `text`, or nothing when the vocabulary lacks one of them.
bool append_byte_tokens(const Vocabulary& vocabulary, std::string_view text, std::vector<int32_t>& ids);

// The byte that a token names.
std::optional<char> byte_of_token(std::string_view token);

}  // namespace remuda::text
