#include "text/precompiled.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/test_support.h"

namespace remuda::text {
namespace {

using ::testing::HasSubstr;

// Units by their place; the others are empty.
std::string trie_of(const std::vector<std::pair<uint32_t, uint32_t>>& units, size_t size = 512) {
  std::string bytes(4 + 4 * size, '\0');
  const auto put = [&](size_t at, uint32_t number) {
    for (size_t i = 0; i < 4; ++i) bytes[at + i] = static_cast<char>(number >> (8 * i));
  };
  put(0, static_cast<uint32_t>(4 * size));
  for (const auto& [place, unit] : units) put(4 + 4 * place, unit);
  return bytes;
}

constexpr uint32_t kLeaf = 1 << 8;
uint32_t unit(uint32_t offset, uint32_t label = 0) { return offset << 10 | label; }

// "a" becomes what is at `value`: from the root's place 256 by 'a', and on to its leaf at 257.
std::string rule_for_a(uint32_t value, std::string_view right_sides) {
  const uint32_t child = 256 ^ 'a';
  return trie_of({{0, unit(256)}, {child, unit(child ^ 257, 'a') | kLeaf}, {257, value}}).append(right_sides);
}

std::string normalized(const Precompiled& normalizer, std::string_view text) {
  std::string out;
  normalizer.normalize(text, out, 1000);
  return out;
}

Precompiled make(const std::string& bytes) { return Precompiled(std::make_shared<const CharacterMap>(bytes, "test")); }

TEST(Precompiled, RulesReplaceCharacters) {
  const Precompiled normalizer = make(rule_for_a(0, std::string("XY\0", 3)));
  EXPECT_EQ(normalized(normalizer, "banana"), "bXYnXYnXY");
  EXPECT_EQ(normalized(normalizer, std::string_view("a\0a", 3)), std::string("XY\0XY", 5));
}

// The library's way: the rule for a cluster's first character replaces all of a short cluster.
TEST(Precompiled, ARuleReplacesAShortClusterAsAWhole) {
  const Precompiled normalizer = make(rule_for_a(1, std::string("-XY\0", 4)));
  EXPECT_EQ(normalized(normalizer, "a\u0301b"), "XYb");
  EXPECT_EQ(normalized(normalizer, "a\u0301\u0302\u0303b"), "XY\u0301\u0302\u0303b");
  EXPECT_EQ(normalized(normalizer, "\r\na"), "\r\nXY");
}

TEST(Precompiled, StopsAtTheLimit) {
  const Precompiled normalizer = make(rule_for_a(0, std::string(100, 'X') + '\0'));
  std::string out;
  normalizer.normalize(std::string(1000, 'a'), out, 1000);
  EXPECT_LT(out.size(), 1200u);
}

TEST(Precompiled, BytesThatLeadAstrayAreRefused) {
  const auto message = [](const std::string& bytes) {
    const Failure failure = failure_of([&] { make(bytes); });
    EXPECT_EQ(failure.code, ErrorCode::kInvalidFile);
    return failure.message;
  };
  const std::string whole = rule_for_a(0, std::string("X\0", 2));
  for (const size_t size : {0u, 3u, 4u, 100u, 4u + 4 * 511}) {
    EXPECT_THAT(message(whole.substr(0, size)), HasSubstr("test: expected the size of a trie and the trie"));
  }
  EXPECT_THAT(message(trie_of({{0, unit(512)}})),
              HasSubstr("expected offsets below 512, the units of the trie, found"));
  EXPECT_THAT(message(trie_of({}, 10)), HasSubstr("expected offsets below 10, the units of the trie, found 255"));
  const uint32_t child = 256 ^ 'a';
  EXPECT_THAT(message(trie_of({{0, unit(256)}, {child, unit(1 << 20, 'a')}})), HasSubstr("expected offsets below 512"));
  EXPECT_THAT(message(rule_for_a(2, std::string("X\0", 2))), HasSubstr("expected a character below 2 as the place"));
  EXPECT_THAT(message(rule_for_a(1, "é")), HasSubstr("expected a character below 2 as the place"));
  EXPECT_THAT(message(rule_for_a(0, "\xFF")), HasSubstr("expected UTF-8 after the trie"));
  // A place that leads to itself is no harm: a text ends.
  EXPECT_EQ(normalized(make(trie_of({{0, unit(256)}, {child, unit('a', 'a')}})), "aaa"), "aaa");
}

TEST(Precompiled, BadBase64IsNamed) {
  for (const char* text : {"A", "AB=C", "A===", "????", ""}) {
    const auto document = JsonDocument::parse(fmt::format(R"({{"precompiled_charsmap": "{}"}})", text), "t.json");
    const Failure failure = failure_of([&] { parse_precompiled(document.root()); });
    EXPECT_EQ(failure.code, ErrorCode::kInvalidFile) << text;
    EXPECT_THAT(failure.message, HasSubstr("t.json: precompiled_charsmap")) << text;
  }
}

}  // namespace
}  // namespace remuda::text
