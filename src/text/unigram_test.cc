#include "text/unigram.h"

#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <limits>

#include "text/test_support.h"

namespace remuda::text {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Ids = std::vector<int32_t>;
using Scored = std::vector<std::pair<std::string, double>>;

Unigram make_model(const Scored& tokens, Unigram::Options options) {
  Vocabulary vocabulary("test", tokens.size());
  LargeVector<double> scores;
  for (const auto& [token, score] : tokens) {
    vocabulary.add(token, std::ssize(scores));
    scores.push_back(score);
  }
  return Unigram(std::move(vocabulary), std::move(scores), options, "test");
}

Ids ids_of(const Model& model, std::string_view piece) {
  Ids ids;
  model.tokenize(piece, ids);
  return ids;
}

constexpr Unigram::Options kUnknownIsFirst{.unknown_id = 0, .byte_fallback = false};

TEST(Unigram, TakesTheBestWayNotTheLongestToken) {
  const Unigram model =
      make_model({{"<unk>", 0}, {"a", -1}, {"b", -1}, {"c", -1}, {"ab", -1}, {"bc", -1}, {"abc", -9}}, kUnknownIsFirst);
  EXPECT_THAT(ids_of(model, "ab"), ElementsAre(4));
  EXPECT_THAT(ids_of(model, "abc"), ElementsAre(1, 5));  // As good as 4, 3, and found first.
  EXPECT_THAT(ids_of(model, "cba"), ElementsAre(3, 2, 1));
}

TEST(Unigram, NeighboursThatAreUnknownAreOneToken) {
  const Scored tokens = {{"<unk>", 0}, {"a", -1}, {"<0xC3>", -2}, {"<0xA9>", -2}};
  EXPECT_THAT(ids_of(make_model(tokens, kUnknownIsFirst), "xéaé"), ElementsAre(0, 1, 0));
  const Unigram::Options fallback{.unknown_id = 0, .byte_fallback = true};
  EXPECT_THAT(ids_of(make_model(tokens, fallback), "éa"), ElementsAre(2, 3, 1));
  EXPECT_THAT(ids_of(make_model(tokens, fallback), "xé"), ElementsAre(0));
}

TEST(Unigram, WithoutAnUnknownTokenACharacterThatIsNoneFails) {
  const Unigram model = make_model({{"a", -1}, {"ab", -1}}, {});
  EXPECT_THAT(ids_of(model, "ab"), ElementsAre(1));
  const Failure failure = failure_of([&] { ids_of(model, "ax"); });
  EXPECT_EQ(failure.code, ErrorCode::kUnsupported);
  EXPECT_THAT(failure.message, HasSubstr("test: expected an unk_id"));
}

TEST(Unigram, BadScoresAndIdsAreNamed) {
  for (const double score : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    const Failure failure = failure_of([&] { make_model({{"a", 0}, {"b", score}}, {}); });
    EXPECT_EQ(failure.code, ErrorCode::kInvalidFile);
    EXPECT_THAT(failure.message, HasSubstr("test: expected a number as the score of token 1"));
  }
  const Failure failure = failure_of([] { make_model({{"a", 0}}, {.unknown_id = 1, .byte_fallback = false}); });
  EXPECT_THAT(failure.message, HasSubstr("test: unk_id: expected the id of a token, found 1 where 1 tokens are"));
}

// Every way to cut the piece.
double best_score(const Scored& tokens, std::string_view piece) {
  if (piece.empty()) return 0;
  double best = -std::numeric_limits<double>::infinity();
  for (const auto& [token, score] : tokens) {
    if (piece.starts_with(token)) best = std::max(best, score + best_score(tokens, piece.substr(token.size())));
  }
  return best;
}

RC_GTEST_PROP(Unigram, NoWayIsBetter, ()) {
  Scored tokens = {{"a", -3}, {"b", -3}};
  const auto words = *rc::gen::container<std::vector<std::string>>(
      rc::gen::nonEmpty(rc::gen::container<std::string>(rc::gen::element('a', 'b'))));
  for (const std::string& word : words) {
    const auto same = [&](const auto& token) { return token.first == word; };
    if (std::none_of(tokens.begin(), tokens.end(), same)) tokens.emplace_back(word, -*rc::gen::inRange(0, 16));
  }
  const Unigram model = make_model(tokens, {});
  const auto piece =
      *rc::gen::container<std::string>(static_cast<size_t>(*rc::gen::inRange(1, 13)), rc::gen::element('a', 'b'));
  std::string joined;
  double score = 0;
  for (const int32_t id : ids_of(model, piece)) {
    joined += tokens[static_cast<size_t>(id)].first;
    score += tokens[static_cast<size_t>(id)].second;
  }
  RC_ASSERT(joined == piece);
  RC_ASSERT(score == best_score(tokens, piece));
}

// Ways of equal score are told apart by the last bit of what Hugging Face's reader makes of a number.
TEST(Unigram, ScoresAreReadAsHuggingFaceDoes) {
  const auto document = JsonDocument::parse(
      R"({"vocab": [["a", -7.2350077629089355], ["b", 0.0], ["ab", -7.235007762908936]]})", "t.json");
  // "a" and "b" together are better by that bit, but are read as no better than "ab", which is found first.
  EXPECT_THAT(ids_of(*parse_unigram(document.root()), "ab"), ElementsAre(2));
}

TEST(PrefixTrie, FindsThePrefixesThatAreTokens) {
  Vocabulary vocabulary("test", 8);
  for (const char* token : {"b", "", "abc", "ab", "a\xFF", "abd", "z"}) {
    vocabulary.add(token, static_cast<int64_t>(vocabulary.size()));
  }
  const PrefixTrie trie(vocabulary, "test");
  const auto found = [&](std::string_view text) {
    std::vector<std::pair<size_t, int32_t>> prefixes;
    trie.find_prefixes(text, [&](size_t length, int32_t id) { prefixes.emplace_back(length, id); });
    return prefixes;
  };
  EXPECT_THAT(found("abcd"), ElementsAre(testing::Pair(2, 3), testing::Pair(3, 2)));
  EXPECT_THAT(found("a\xFF"), ElementsAre(testing::Pair(2, 4)));
  EXPECT_THAT(found("b"), ElementsAre(testing::Pair(1, 0)));
  EXPECT_TRUE(found("ca").empty());
  EXPECT_TRUE(found("").empty());
}

}  // namespace
}  // namespace remuda::text
