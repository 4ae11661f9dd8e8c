// Every normalizer and pre-tokenizer over every code point, against checksums of what Hugging Face makes of them.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <array>

#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/test_support.h"
#include "text/utf8.h"

namespace remuda::text {
namespace {

constexpr char32_t kBlock = 0x1000;
constexpr char32_t kCodePoints = 0x110000;

uint32_t crc32(std::string_view bytes) {
  static const auto table = [] {
    std::array<uint32_t, 256> values;
    for (uint32_t i = 0; i < values.size(); ++i) {
      values[i] = i;
      for (int bit = 0; bit < 8; ++bit) values[i] = (values[i] >> 1) ^ (values[i] & 1 ? 0xEDB88320u : 0);
    }
    return values;
  }();
  uint32_t crc = ~0u;
  for (const char byte : bytes) crc = (crc >> 8) ^ table[(crc ^ static_cast<unsigned char>(byte)) & 0xFF];
  return ~crc;
}

// What make_tokenizer_golden.py's block_text makes.
std::string block_text(char32_t first) {
  std::string text;
  for (char32_t c = first; c < first + kBlock; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    text += '|';
    append_utf8(text, c);
    text += "|a";
    append_utf8(text, c);
    text += "b|e";
    append_utf8(text, c);
    text += "\u0327\u0301";
    append_utf8(text, c);
    text += "|\u1100";
    append_utf8(text, c);
    text += "\u11A8";
  }
  return text;
}

void expect_checksums(const JsonValue& golden, const std::function<std::string(const std::string&)>& function) {
  static const std::vector<std::string> texts = [] {
    std::vector<std::string> blocks;
    for (char32_t first = 0; first < kCodePoints; first += kBlock) blocks.push_back(block_text(first));
    return blocks;
  }();
  const auto expected = golden.at("crc32").items();
  ASSERT_EQ(expected.size(), texts.size());
  for (size_t block = 0; block < texts.size(); ++block) {
    EXPECT_EQ(crc32(function(texts[block])), expected[block].as_int())
        << golden.where() << fmt::format(": code points from U+{:04X}", static_cast<uint32_t>(block * kBlock));
  }
}

TEST(CodePoints, NormalizersAreHuggingFaces) {
  const JsonDocument golden = read_golden("code_points.json");
  const auto normalizers = golden.root().at("normalizers").members();
  ASSERT_EQ(normalizers.size(), 13u);
  for (const auto& [name, expected] : normalizers) {
    const Normalizer normalizer = parse_normalizer(expected.at("spec"));
    expect_checksums(expected, [&](const std::string& text) {
      std::string normalized;
      normalizer.normalize(text, normalized);
      return normalized;
    });
  }
}

TEST(CodePoints, PreTokenizersAreHuggingFaces) {
  const JsonDocument golden = read_golden("code_points.json");
  const auto pre_tokenizers = golden.root().at("pre_tokenizers").members();
  ASSERT_EQ(pre_tokenizers.size(), 11u);
  for (const auto& [name, expected] : pre_tokenizers) {
    const PreTokenizer pre_tokenizer = parse_pre_tokenizer(expected.at("spec"));
    expect_checksums(expected, [&](const std::string& text) {
      Pieces pieces;
      pre_tokenizer.split(text, true, pieces);
      std::string joined;
      for (const Span span : pieces.spans) {
        if (!joined.empty()) joined += '\n';
        joined += pieces[span];
      }
      return joined;
    });
  }
}

}  // namespace
}  // namespace remuda::text
