// GPT-2's way to write bytes as characters, so that a vocabulary of text can name any byte: printable Latin-1 stands
// for itself, the others are U+0100 and up (https://github.com/openai/gpt-2, encoder.py, bytes_to_unicode).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/pieces.h"

namespace remuda::text {

// Appends the characters of `bytes`, at most two bytes for each.
void append_byte_characters(std::string& out, std::string_view bytes);

// The byte that a character stands for, if it is one of the 256.
std::optional<char> byte_of_character(char32_t character);

// Appends the matches of GPT-2's regular expression in text[span], which cover it:
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
void split_as_gpt2(std::string_view text, Span span, std::vector<Span>& out);

}  // namespace remuda::text
