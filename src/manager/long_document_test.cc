#include "manager/long_document.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <string>

#include "remuda/error.h"

namespace remuda {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// As a tokenizer counts: a token a word of up to four characters, more for longer ones, and two special tokens.
int64_t count(std::string_view text) {
  int64_t tokens = 2, in_word = 0;
  for (const char c : text) {
    if (static_cast<signed char>(c) < -64) continue;  // Continues a character.
    in_word = c == ' ' || c == '\n' ? 0 : in_word + 1;
    if (in_word % 4 == 1) ++tokens;
  }
  return tokens;
}

std::vector<std::string> parts_of(const std::string& text, int64_t max_tokens, int64_t overlap = 0) {
  std::vector<std::string> parts;
  for (const TextSpan& span : split_text(text, {.max_tokens = max_tokens, .overlap_tokens = overlap}, count)) {
    parts.push_back(text.substr(static_cast<size_t>(span.begin), static_cast<size_t>(span.end - span.begin)));
  }
  return parts;
}

TEST(SplitText, ATextThatFitsIsOnePart) {
  EXPECT_THAT(parts_of("one two. six", 8), ElementsAre("one two. six"));
  EXPECT_THAT(parts_of("", 8), ElementsAre(""));
}

TEST(SplitText, PartsEndWithAParagraphRatherThanASentence) {
  EXPECT_THAT(parts_of("a b. c d.\n\ne f. g h i j k l", 9), ElementsAre("a b. c d.\n\n", "e f. g h i j k ", "l"));
}

TEST(SplitText, PartsEndWithASentenceRatherThanAWord) {
  EXPECT_THAT(parts_of("one two. six ten red. oak", 5), ElementsAre("one two. ", "six ten red. ", "oak"));
  EXPECT_THAT(parts_of("He said: \"go now.\" (We did.) Fine oak ash elm", 8),
              ElementsAre("He said: \"go now.\" ", "(We did.) Fine oak ash ", "elm"));
}

TEST(SplitText, AFarSentenceEndDoesNotMakeAPartSmall) {
  EXPECT_THAT(parts_of("a. b c d e f g h i j k", 8), ElementsAre("a. b c d e f ", "g h i j k"));
}

TEST(SplitText, WordsThatAreTooLongAreCutBetweenCharacters) {
  EXPECT_THAT(parts_of("ääääääääää", 3), ElementsAre("ääää", "ääää", "ää"));
}

TEST(SplitText, ScriptsWithoutSpacesHaveSentencesToo) {
  EXPECT_THAT(parts_of("我来了。你看见。我们走吧", 4), ElementsAre("我来了。你看见。", "我们走吧"));
}

TEST(SplitText, PartsOverlapByWholeSentences) {
  EXPECT_THAT(parts_of("one two. six ten. red oak. ash elm.", 7, 4),
              ElementsAre("one two. six ten. ", "six ten. red oak. ", "red oak. ash elm."));
  EXPECT_THAT(parts_of("one two. six ten. red oak. ash elm.", 7, 3),
              ElementsAre("one two. six ten. ", "red oak. ash elm."))
      << "a sentence and its special tokens are 4";
}

TEST(SplitText, NoRoomForACharacterIsAnError) {
  EXPECT_THAT([] { split_text("abc", {.max_tokens = 2}, count); },
              testing::ThrowsMessage<Error>(HasSubstr("2 tokens")));
}

RC_GTEST_PROP(SplitText, EveryByteIsInAPartAndEveryPartFits, ()) {
  const auto piece = rc::gen::element<std::string>("a", "horse", "ein", " ", " ", "\n", "\n\n", ". ", "。", "é", "🐎",
                                                   "\xff", "\x80\x80");
  std::string text;
  for (const std::string& next : *rc::gen::container<std::vector<std::string>>(piece)) text += next;
  const int64_t max_tokens = *rc::gen::inRange<int64_t>(4, 30);
  const SplitOptions options{.max_tokens = max_tokens, .overlap_tokens = *rc::gen::inRange<int64_t>(0, max_tokens / 2)};
  const std::vector<TextSpan> spans = split_text(text, options, count);
  RC_ASSERT(spans.front().begin == 0);
  RC_ASSERT(spans.back().end == static_cast<int64_t>(text.size()));
  for (size_t i = 0; i < spans.size(); ++i) {
    const std::string_view part = std::string_view(text).substr(static_cast<size_t>(spans[i].begin),
                                                                static_cast<size_t>(spans[i].end - spans[i].begin));
    RC_ASSERT(spans[i].tokens == count(part));
    RC_ASSERT(spans[i].tokens <= max_tokens);
    if (i == 0) continue;
    RC_ASSERT(spans[i].begin > spans[i - 1].begin);
    RC_ASSERT(spans[i].begin <= spans[i - 1].end);
    RC_ASSERT(spans[i].end > spans[i - 1].end);
    const std::string_view shared = std::string_view(text).substr(
        static_cast<size_t>(spans[i].begin), static_cast<size_t>(spans[i - 1].end - spans[i].begin));
    RC_ASSERT(shared.empty() || count(shared) <= options.overlap_tokens);
  }
}

}  // namespace
}  // namespace remuda
