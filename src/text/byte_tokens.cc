#include "text/byte_tokens.h"

#include <array>
#include <charconv>

namespace remuda::text {
namespace {

constexpr std::string_view kHexadecimal = "0123456789ABCDEF";

}  // namespace

bool append_byte_tokens(const Vocabulary& vocabulary, std::string_view text, std::vector<int32_t>& ids) {
  const size_t before = ids.size();
  std::array<char, 6> token = {'<', '0', 'x', '0', '0', '>'};
  for (const char character : text) {
    const auto byte = static_cast<unsigned char>(character);
    token[3] = kHexadecimal[byte >> 4];
    token[4] = kHexadecimal[byte & 0xF];
    const auto id = vocabulary.find({token.data(), token.size()});
    if (!id) {
      ids.resize(before);
      return false;
    }
    ids.push_back(*id);
  }
  return true;
}

std::optional<char> byte_of_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return std::nullopt;
  std::string_view digits = token.substr(3, 2);
  // Rust's from_str_radix, which Hugging Face reads them with, takes a sign.
  if (digits.front() == '+') digits.remove_prefix(1);
  unsigned byte = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return static_cast<char>(byte);
}

}  // namespace remuda::text
