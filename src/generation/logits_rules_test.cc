#include "generation/logits_rules.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <set>

#include "base/json.h"

namespace remuda {
namespace {

constexpr float kNone = -INFINITY;
using Scores = std::vector<float>;

TEST(Rules, PenaltiesMakeEveryScoreLess) {
  Scores scores{2.0f, -2.0f, 0.0f, 3.0f};
  penalize_tokens(scores, TokenIds{1, 0, 2}, 4.0f);
  EXPECT_EQ(scores, (Scores{0.5f, -8.0f, 0.0f, 3.0f}));
}

TokenIds ngram_ends(const TokenIds& ids, const TokenIds& source, int64_t size) {
  TokenIds found;
  find_ngram_ends(ids, source, size, found);
  return found;
}

TEST(Rules, NgramsThatWouldRepeatAreFound) {
  const TokenIds ids{1, 2, 3, 1, 2, 4, 1, 2};
  EXPECT_EQ(ngram_ends(ids, ids, 3), (TokenIds{3, 4}));
}

TEST(Rules, AnNgramNeedsItsWholePrefix) {
  const TokenIds ids{1, 2};
  EXPECT_EQ(ngram_ends(ids, ids, 4), TokenIds());
  EXPECT_EQ(ngram_ends(ids, ids, 3), TokenIds());  // A prefix has no successor yet.
}

TEST(Rules, UnigramsAreAllThatWas) { EXPECT_EQ(ngram_ends({3}, {0, 2}, 1), (TokenIds{0, 2})); }

TEST(Rules, ForbiddenWordsAreCompletedByNothing) {
  const std::vector<TokenIds> words{{0}, {1, 2}, {3, 1, 3}, {2, 2}, {1, 1, 3, 1, 1}};
  TokenIds found;
  find_word_ends(TokenIds{1, 3, 1}, words, found);
  EXPECT_EQ(found, (TokenIds{0, 2, 3}));
}

TEST(Rules, ForcedTokensAreAllThatIsLeft) {
  Scores scores{1, 2, 3};
  force_tokens(scores, TokenIds{0, 2});
  EXPECT_EQ(scores, (Scores{0, kNone, 0}));
}

RC_GTEST_PROP(Rules, TopKKeepsTheBestAndTheirEquals, (const std::vector<int8_t>& values, uint16_t k_minus_1)) {
  RC_PRE(!values.empty());
  const int64_t k = k_minus_1 % 700 + 1;
  Scores scores(values.begin(), values.end()), sorted = scores, scratch;
  const Scores before = scores;
  std::sort(sorted.rbegin(), sorted.rend());
  TopCandidates top;
  keep_top_k(scores, k, top, scratch);
  const float least = sorted[static_cast<size_t>(std::min<int64_t>(k, static_cast<int64_t>(sorted.size())) - 1)];
  for (size_t i = 0; i < scores.size(); ++i) RC_ASSERT(scores[i] == (before[i] < least ? kNone : before[i]));
}

TEST(Rules, TopKSelectsFromLongRowsToo) {
  Scores scores(5000), scratch;
  for (size_t i = 0; i < scores.size(); ++i) scores[i] = static_cast<float>(i * 7919 % 5000);
  TopCandidates top;
  keep_top_k(scores, 600, top, scratch);
  for (size_t i = 0; i < scores.size(); ++i) {
    ASSERT_EQ(scores[i] == kNone, i * 7919 % 5000 < 4400) << i;
  }
}

// transformers' own warpers (tests/golden/make_generation_golden.py): the same tokens are left, with the same
// probabilities. Which of several equals at the edge of top-p stay is up to torch's unstable sort: there, only how
// many.
TEST(Rules, WarpersLeaveWhatTransformersLeaves) {
  const auto path = std::filesystem::path(REMUDA_SOURCE_DIR) / "tests/golden/generation/cases.json";
  const JsonDocument document = JsonDocument::parse_file(path);
  size_t count = 0;
  for (const JsonValue& warped : document.root().at("warped").items()) {
    SCOPED_TRACE(warped.where());
    Scores scores, scratch;
    for (const JsonValue& score : warped.at("scores").items()) {
      scores.push_back(score.is_null() ? kNone : static_cast<float>(score.as_double()));
    }
    TopCandidates top;
    std::vector<Candidate> candidates;
    const int64_t min_tokens = warped.at("min_tokens").as_int(), top_k = warped.at("top_k").as_int();
    const double top_p = warped.at("top_p").as_double();
    scale_by_temperature(scores, static_cast<float>(warped.at("temperature").as_double()));
    if (top_k > 0) keep_top_k(scores, std::max(top_k, min_tokens), top, scratch);
    const Scores before = scores;
    if (top_p < 1) keep_top_p(scores, top_p, min_tokens, candidates);

    float least = std::numeric_limits<float>::infinity();
    double sum = 0;
    for (const float score : scores) {
      if (score != kNone) least = std::min(least, score);
      sum += std::exp(static_cast<double>(score));
    }
    const auto items = warped.at("probabilities").items();
    ASSERT_EQ(scores.size(), items.size());
    int64_t left_at_edge = 0, expected_at_edge = 0;
    for (size_t i = 0; i < scores.size(); ++i) {
      const double expected = items[i].as_double();
      if (before[i] == least) {
        left_at_edge += scores[i] != kNone;
        expected_at_edge += expected > 0;
        continue;
      }
      EXPECT_EQ(scores[i] == kNone, expected == 0) << i;
      EXPECT_NEAR(std::exp(static_cast<double>(scores[i])) / sum, expected, 1e-6) << i;
    }
    EXPECT_EQ(left_at_edge, expected_at_edge);
    ++count;
  }
  EXPECT_GE(count, 20u);
}

GenerationPlan plan_with(const GenerationOptions& options) {
  GenerationOptions defaults;
  defaults.decoder_start_token_id = 1;
  defaults.eos_token_id = TokenIds{2};
  return resolve(options.over(defaults), {.vocabulary = 8, .max_positions = 0});
}

Scores processed(const GenerationOptions& options, const TokenIds& ids, const TokenIds& encoder_ids = {}) {
  LogitsRules rules(std::make_shared<GenerationPlan>(plan_with(options)), encoder_ids);
  Scores scores{0, 1, 2, 3, -4, 5, 6, 7};
  rules.process(scores, ids);
  return scores;
}

TEST(LogitsRules, WithoutOptionsNothingChanges) { EXPECT_EQ(processed({}, {1, 3}), (Scores{0, 1, 2, 3, -4, 5, 6, 7})); }

TEST(LogitsRules, MinLengthCountsTheStartToken) {
  GenerationOptions options;
  options.min_length = 3;
  EXPECT_EQ(processed(options, {1, 3})[2], kNone);
  EXPECT_EQ(processed(options, {1, 3, 3})[2], 2);
}

TEST(LogitsRules, MinNewTokensDoesNotCountTheStartToken) {
  GenerationOptions options;
  options.min_length = 1;
  options.min_new_tokens = 3;
  EXPECT_EQ(processed(options, {1, 3, 3})[2], kNone);
  EXPECT_EQ(processed(options, {1, 3, 3, 3})[2], 2);
}

TEST(LogitsRules, ForcedTokensComeFirstAndLast) {
  GenerationOptions options;
  options.forced_bos_token_id = 4;
  options.forced_eos_token_id = TokenIds{2, 5};
  options.max_length = 5;
  EXPECT_EQ(processed(options, {1}), (Scores{kNone, kNone, kNone, kNone, 0, kNone, kNone, kNone}));
  EXPECT_EQ(processed(options, {1, 4, 3}), (Scores{0, 1, 2, 3, -4, 5, 6, 7}));
  EXPECT_EQ(processed(options, {1, 4, 3, 3}), (Scores{kNone, kNone, 0, kNone, kNone, 0, kNone, kNone}));
}

TEST(LogitsRules, SuppressedTokensNeverCome) {
  GenerationOptions options;
  options.suppress_tokens = TokenIds{4, 6};
  options.begin_suppress_tokens = TokenIds{7};
  EXPECT_EQ(processed(options, {1}), (Scores{0, 1, 2, 3, kNone, 5, kNone, kNone}));
  EXPECT_EQ(processed(options, {1, 3}), (Scores{0, 1, 2, 3, kNone, 5, kNone, 7}));
  options.forced_bos_token_id = 5;
  EXPECT_EQ(processed(options, {1, 5})[7], kNone) << "a forced first token moves the beginning behind it";
}

TEST(LogitsRules, PenaltiesComeBeforeWhatForbids) {
  GenerationOptions options;
  options.repetition_penalty = 2.0;
  options.no_repeat_ngram_size = 2;
  options.encoder_no_repeat_ngram_size = 2;
  options.bad_words_ids = std::vector<TokenIds>{{2}, {4, 5}};  // A lone end token is not forbidden.
  EXPECT_EQ(processed(options, {1, 4, 7, 4}, {4, 6, 3, 5}), (Scores{0, 0.5f, 2, 3, -8, kNone, kNone, kNone}));
}

TEST(LogitsRules, PenaltiesActOnceOnEachToken) {
  GenerationOptions options;
  options.repetition_penalty = 2.0;
  EXPECT_EQ(processed(options, {1, 6, 4, 1, 6, 6}), (Scores{0, 0.5f, 2, 3, -8, 5, 3, 7}));
}

TEST(LogitsRules, NgramsOfTheDocumentMayHaveTokensBeyondTheVocabulary) {
  GenerationOptions options;
  options.encoder_no_repeat_ngram_size = 2;
  EXPECT_EQ(processed(options, {1}, {1, 9, 1, 2}), (Scores{0, 1, kNone, 3, -4, 5, 6, 7}));
}

TEST(LogitsRules, WhatIsForcedIsSortedAndKnowsNoOtherRules) {
  GenerationOptions options;
  options.repetition_penalty = 2.0;
  options.no_repeat_ngram_size = 1;
  options.min_length = 4;
  options.max_length = 4;
  options.forced_eos_token_id = TokenIds{5, 2, 5, 3};
  options.suppress_tokens = TokenIds{3};
  LogitsRules rules(std::make_shared<GenerationPlan>(plan_with(options)), {});
  TokenRules found;
  rules.find(TokenIds{1, 4}, found);
  EXPECT_FALSE(found.is_forced);
  EXPECT_EQ(found.penalized, (TokenIds{1, 4}));
  EXPECT_EQ(found.penalty, 2.0f);
  EXPECT_EQ(found.forbidden, (TokenIds{3, 1, 4, 2}));
  rules.find(TokenIds{1, 4, 5}, found);
  EXPECT_TRUE(found.is_forced);
  EXPECT_EQ(found.forced, (TokenIds{2, 5}));
  EXPECT_EQ(found.penalized, TokenIds());
  EXPECT_EQ(found.forbidden, TokenIds());
}

TEST(LogitsRules, BeamsKeepSomethingToGoOnWith) {
  GenerationOptions options;
  options.do_sample = true;
  options.top_k = 1;
  options.top_p = 0.1;
  const auto left = [&] {
    LogitsRules rules(std::make_shared<GenerationPlan>(plan_with(options)), {});
    Scores scores{0, 1, 2, 3, -4, 5, 6, 7};
    rules.warp(scores);
    return std::ranges::count_if(scores, [](float score) { return score > kNone; });
  };
  EXPECT_EQ(left(), 1);
  options.num_beams = 2;
  EXPECT_EQ(left(), 2);
  options.eos_token_id = TokenIds{2, 3, 4};
  EXPECT_EQ(left(), 4);
}

}  // namespace
}  // namespace remuda
