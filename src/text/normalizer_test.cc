#include "text/normalizer.h"

#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

#include "text/test_support.h"
#include "text/utf8.h"

namespace remuda::text {
namespace {

using ::testing::HasSubstr;

std::string normalized(const Normalizer& normalizer, std::string_view text) {
  std::string out = "what was there before";
  normalizer.normalize(text, out);
  return out;
}

Normalizer parse(std::string_view json) { return parse_normalizer(JsonDocument::parse(json, "t.json").root()); }

// Well-formed text, rich in marks that must be sorted or composed.
rc::Gen<std::string> texts() {
  const auto code_point = rc::gen::oneOf(
      rc::gen::inRange<uint32_t>(0, 0x80), rc::gen::inRange<uint32_t>(0, 0x3000),
      rc::gen::inRange<uint32_t>(0xAC00, 0xD7A4), rc::gen::inRange<uint32_t>(0xE000, 0x110000),
      rc::gen::element<uint32_t>(0, 0x300, 0x301, 0x323, 0x327, 0x345, 0x302E, 0x302F, 0x1100, 0x1161, 0x11A8));
  return rc::gen::map(rc::gen::container<std::vector<uint32_t>>(code_point), [](const std::vector<uint32_t>& points) {
    std::string text;
    for (const uint32_t c : points) append_utf8(text, c);
    return text;
  });
}

RC_GTEST_PROP(Normalizer, FormsAreIdempotentAndConsistent, ()) {
  const std::string text = *texts();
  const auto form = [](bool compatibility, bool compose) { return Normalizer({UnicodeForm{compatibility, compose}}); };
  for (const bool compatibility : {false, true}) {
    const std::string decomposed = normalized(form(compatibility, false), text);
    const std::string composed = normalized(form(compatibility, true), text);
    RC_ASSERT(normalized(form(compatibility, false), decomposed) == decomposed);
    RC_ASSERT(normalized(form(compatibility, true), composed) == composed);
    RC_ASSERT(normalized(form(compatibility, false), composed) == decomposed);
    RC_ASSERT(normalized(form(compatibility, true), decomposed) == composed);
  }
}

// BERT's accents, computed the long way round: NFD of the whole text, then the marks dropped.
RC_GTEST_PROP(Normalizer, BertStripsAccentsAsNfdAndAFilterDo, ()) {
  const std::string text = *texts();
  const Normalizer bert({BertNormalizer({false, false, true, false})});
  const std::string decomposed = normalized(Normalizer({UnicodeForm{false, false}}), text);
  std::string expected;
  for (size_t position = 0; position < decomposed.size();) {
    const size_t start = position;
    const char32_t c = next_code_point(decomposed, position);
    if (!UnicodeTable::get().has(c, kNonspacingMark)) expected.append(decomposed, start, position - start);
  }
  RC_ASSERT(normalized(bert, text) == expected);
}

TEST(Normalizer, NoneLeavesTheText) { EXPECT_EQ(normalized(Normalizer(), "Ä \t"), "Ä \t"); }

TEST(Normalizer, CleanedTextIsGoneBeforeMarksAreSorted) {
  // U+302F (class 224) and U+1D165 (216) are spacing marks and stay; the NUL between them doesn't divide them.
  const Normalizer bert({BertNormalizer({true, true, true, true})});
  EXPECT_EQ(normalized(bert, std::string("a\u302F\0\U0001D165B", 11)), "a\U0001D165\u302Fb");
  EXPECT_EQ(normalized(bert, "a\u302F \U0001D165B"), "a\u302F \U0001D165b");
}

TEST(Normalizer, StepsRunInOrder) {
  const Normalizer normalizer = parse(R"({"type": "Sequence", "normalizers": [
    {"type": "Prepend", "prepend": "<"}, {"type": "Sequence", "normalizers": [{"type": "Lowercase"}]},
    {"type": "Replace", "pattern": {"String": "ab"}, "content": "A"}, {"type": "Strip", "strip_left": false, "strip_right": true}]})");
  EXPECT_EQ(normalized(normalizer, "ABabb \u3000"), "<AAb");
  EXPECT_EQ(normalized(normalizer, ""), "");
}

TEST(Normalizer, MillionsOfMarksTakeLinearTime) {
  std::string text = "a";
  for (int i = 0; i < 500'000; ++i) text += i % 2 == 0 ? "\u302F" : "\u0301";
  EXPECT_EQ(normalized(Normalizer({BertNormalizer({true, true, true, true})}), text).size(), 1u + 250'000 * 3);
  EXPECT_EQ(normalized(Normalizer({UnicodeForm{true, true}}), text).size(), text.size() - 1);
}

TEST(Normalizer, RefusesToGrowWithoutBound) {
  std::string json = R"({"type": "Sequence", "normalizers": [)";
  for (int i = 0; i < 60; ++i) {
    json += R"({"type": "Replace", "pattern": {"String": "a"}, "content": "aaaaaaaa"},)";
  }
  json.back() = ']';
  const Normalizer normalizer = parse(json + "}");
  const Failure failure = failure_of([&] { normalized(normalizer, "a"); });
  EXPECT_EQ(failure.code, ErrorCode::kUnsupported);
  EXPECT_THAT(failure.message, HasSubstr("its normalizer makes more than"));
}

TEST(Normalizer, UnknownKindsAreNamed) {
  const Failure unknown = failure_of([] { parse(R"({"type": "Odd"})"); });
  EXPECT_EQ(unknown.code, ErrorCode::kUnsupported);
  EXPECT_THAT(unknown.message, HasSubstr("t.json: type: expected one of BertNormalizer, Lowercase, NFC"));
  EXPECT_THAT(unknown.message, HasSubstr("found \"Odd\""));
  const Failure regex =
      failure_of([] { parse(R"({"type": "Replace", "pattern": {"Regex": "a|b"}, "content": " "})"); });
  EXPECT_EQ(regex.code, ErrorCode::kUnsupported);
  EXPECT_THAT(regex.message, HasSubstr("t.json: pattern: expected {\"String\": ...}, or"));
  EXPECT_EQ(failure_of([] { parse(R"({"type": "Replace", "pattern": {"String": ""}, "content": " "})"); }).code,
            ErrorCode::kInvalidFile);
  EXPECT_EQ(failure_of([] { parse(R"({"type": "BertNormalizer"})"); }).code, ErrorCode::kInvalidFile);
}

// As Python's str.lower has it.
TEST(Lowercase, ASigmaThatEndsAWordMayBeAFinalOne) {
  const Normalizer lower({Lowercase{.final_sigma = true}});
  EXPECT_EQ(normalized(lower, "ΟΔΟΣ ΣΑΣ Σ ΑΣ. ΑΣ.Α Α'Σ' ⓐΣ"), "οδος σας σ ας. ασ.α α'ς' ⓐς");
  EXPECT_EQ(normalized(Normalizer({Lowercase{}}), "ΣΑΣ"), "σασ");
}

}  // namespace
}  // namespace remuda::text
