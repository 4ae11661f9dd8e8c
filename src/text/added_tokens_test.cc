#include "text/added_tokens.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

#include "text/test_support.h"

namespace remuda::text {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

AddedTokenMatcher make_matcher(const std::vector<AddedToken>& tokens) {
  std::vector<AddedTokenMatcher::Pattern> patterns;
  for (const AddedToken& token : tokens) patterns.push_back({token.content, token});
  return AddedTokenMatcher(std::move(patterns), "test");
}

// Text as it is, a token as <id>.
std::vector<std::string> split(const AddedTokenMatcher& matcher, std::string_view text) {
  std::vector<std::string> parts;
  matcher.split(
      text, [&](std::string_view part) { parts.emplace_back(part); },
      [&](int32_t id) { parts.push_back(fmt::format("<{}>", id)); });
  return parts;
}

TEST(AddedTokens, TheLeftmostAndOfThoseTheLongestMatches) {
  const AddedTokenMatcher matcher = make_matcher({{"ab", 1}, {"abcd", 2}, {"bcde", 3}, {"c", 4}});
  EXPECT_THAT(split(matcher, "xabcde"), ElementsAre("x", "<2>", "e"));
  EXPECT_THAT(split(matcher, "abce"), ElementsAre("<1>", "<4>", "e"));
  EXPECT_THAT(split(matcher, "abbcde"), ElementsAre("<1>", "<3>"));
  EXPECT_THAT(split(matcher, ""), ElementsAre());
  EXPECT_THAT(split(matcher, "xyz"), ElementsAre("xyz"));
}

TEST(AddedTokens, StripTakesWhiteSpaceOfAnyScript) {
  const AddedTokenMatcher matcher = make_matcher({{"[L]", 1, false, true, false}, {"[R]", 2, false, false, true}});
  EXPECT_THAT(split(matcher, "a \u3000[L] b"), ElementsAre("a", "<1>", " b"));
  EXPECT_THAT(split(matcher, "a [R] \n b"), ElementsAre("a ", "<2>", "b"));
  EXPECT_THAT(split(matcher, "[R]  [L]"), ElementsAre("<2>", "<1>"));
}

TEST(AddedTokens, SingleWordWantsNoWordCharacterBesideIt) {
  const AddedTokenMatcher matcher = make_matcher({{"ab", 1, true}});
  EXPECT_THAT(split(matcher, "ab abc éab ab-ab _ab ab\u0301"),
              ElementsAre("<1>", " abc éab ", "<1>", "-", "<1>", " _ab ab\u0301"));
}

TEST(AddedTokens, WhiteSpaceTokensThatMeetTakeLinearTime) {
  const AddedTokenMatcher matcher = make_matcher({{" ", 1, false, true, true}});
  EXPECT_THAT(split(matcher, std::string(2'000'000, ' ')), ElementsAre("<1>"));
}

TEST(AddedTokens, OneThatTheNormalizerEatsIsRefused) {
  const Normalizer normalizer({Strip{true, true}});
  AddedToken token{"  ", 1};
  token.normalized = true;
  const Failure failure = failure_of([&] { AddedTokens({token}, normalizer, "t.json: added_tokens"); });
  EXPECT_EQ(failure.code, ErrorCode::kInvalidFile);
  EXPECT_THAT(failure.message, HasSubstr("t.json: added_tokens: expected something of \"  \""));
}

TEST(AddedTokens, OfTokensThatNormalizeToTheSameTheFirstCounts) {
  std::vector<AddedToken> tokens = {{"Foo", 1}, {"foo", 2}};
  for (AddedToken& token : tokens) token.normalized = true;
  const AddedTokens added(tokens, Normalizer({Lowercase{}}), "test");
  EXPECT_THAT(split(added.normalized(), "foo"), ElementsAre("<1>"));
  EXPECT_EQ(added.find("foo"), 2);
  EXPECT_EQ(added.token(2), "foo");
  EXPECT_EQ(added.id_limit(), 3);
}

// Every position tried, every token compared.
std::vector<std::string> reference(const std::vector<AddedToken>& tokens, std::string_view text) {
  std::vector<std::string> parts;
  std::string pending;
  for (size_t i = 0; i < text.size();) {
    const AddedToken* best = nullptr;
    for (const AddedToken& token : tokens) {
      const bool fits = text.substr(i).starts_with(token.content);
      if (fits && (best == nullptr || token.content.size() > best->content.size())) best = &token;
    }
    if (best == nullptr) {
      pending += text[i++];
      continue;
    }
    if (!pending.empty()) parts.push_back(std::exchange(pending, {}));
    parts.push_back(fmt::format("<{}>", best->id));
    i += best->content.size();
  }
  if (!pending.empty()) parts.push_back(pending);
  return parts;
}

RC_GTEST_PROP(AddedTokens, AgreeWithTheReference, ()) {
  const auto text = rc::gen::container<std::string>(rc::gen::elementOf(std::string("abcd")));
  std::vector<AddedToken> tokens;
  for (const std::string& content : *rc::gen::unique<std::vector<std::string>>(rc::gen::nonEmpty(text))) {
    tokens.push_back({content, static_cast<int32_t>(tokens.size())});
  }
  const std::string input = *text;
  RC_ASSERT(split(make_matcher(tokens), input) == reference(tokens, input));
}

}  // namespace
}  // namespace remuda::text
