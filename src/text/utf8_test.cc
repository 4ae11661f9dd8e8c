#include "text/utf8.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <array>

#include "text/test_support.h"

namespace remuda::text {
namespace {

std::string from_base64(std::string_view text) {
  static constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    if (c == '=') break;
    bits = bits << 6 | static_cast<uint32_t>(kDigits.find(c));
    count += 6;
    if (count >= 8) bytes.push_back(static_cast<char>(bits >> (count -= 8)));
  }
  return bytes;
}

std::string repaired_text(std::string_view text, int64_t& malformed) {
  std::string repaired;
  malformed = repair_utf8(text, repaired);
  return malformed > 0 ? repaired : std::string(text);
}

TEST(Utf8, EveryCodePointComesBack) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text = "a";
    append_utf8(text, c);
    size_t position = 1;
    ASSERT_EQ(next_code_point(text, position), c);
    ASSERT_EQ(position, text.size());
    ASSERT_EQ(previous_code_point(text, position), c);
    ASSERT_EQ(position, 1u);
    ASSERT_EQ(count_code_points(text), 2u);
    int64_t malformed = -1;
    ASSERT_EQ(repaired_text(text, malformed), text);
    ASSERT_EQ(malformed, 0);
  }
}

TEST(Utf8, MalformedSequencesAreReplacedAsInPython) {
  const JsonDocument golden = read_golden("malformed.json");
  const auto cases = golden.root().at("cases").items();
  ASSERT_GT(cases.size(), 400u);
  for (const JsonValue& item : cases) {
    int64_t malformed = -1;
    EXPECT_EQ(repaired_text(from_base64(item.at("base64").as_string()), malformed), item.at("text").as_string())
        << item.where();
    EXPECT_EQ(malformed, item.at("malformed").as_int()) << item.where();
  }
}

TEST(Utf8, SurrogatesAndOverlongFormsAreMalformed) {
  int64_t malformed = 0;
  EXPECT_EQ(repaired_text("\xED\xA0\x80", malformed), "\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(malformed, 3);
  EXPECT_EQ(repaired_text("\xC0\x80", malformed), "\uFFFD\uFFFD");
  EXPECT_EQ(malformed, 2);
  EXPECT_EQ(repaired_text("\xF0\x9F\x98", malformed), "\uFFFD");
  EXPECT_EQ(malformed, 1);
}

RC_GTEST_PROP(Utf8, RepairIsIdempotent, (const std::vector<uint8_t>& bytes)) {
  const std::string text(bytes.begin(), bytes.end());
  int64_t malformed = 0;
  const std::string once = repaired_text(text, malformed);
  const std::string twice = repaired_text(once, malformed);
  RC_ASSERT(malformed == 0);
  RC_ASSERT(once == twice);
}

RC_GTEST_PROP(Utf8, AsciiPrefixEndsAtTheFirstOtherByte, (const std::vector<bool>& pattern)) {
  std::string text;
  for (const bool ascii : pattern) text.push_back(ascii ? 'x' : '\x80');
  RC_ASSERT(ascii_prefix(text) == std::min(text.find('\x80'), text.size()));
}

}  // namespace
}  // namespace remuda::text
