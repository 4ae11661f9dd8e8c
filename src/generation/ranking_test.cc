// Searches that go on with ranked rows find what they find with logits, bit for bit, whatever the options and the
// logits.
#include "generation/ranking.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <random>

#include "generation/search_test_support.h"

namespace remuda {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kVocabulary = 41;
constexpr int32_t kStart = 1, kEnd = 2;

GenerationPlan plan_of(const GenerationOptions& options, int64_t vocabulary = kVocabulary) {
  GenerationOptions minimal;
  minimal.decoder_start_token_id = kStart;
  minimal.eos_token_id = TokenIds{kEnd};
  return resolve(options.over(minimal), {.vocabulary = vocabulary, .max_positions = 0});
}

TwinSearches twins_of(const GenerationOptions& options) {
  return {std::make_shared<const GenerationPlan>(plan_of(options)), {}};
}

GenerationOptions beams(int64_t num_beams) {
  GenerationOptions options;
  options.num_beams = num_beams;
  options.max_length = 12;
  return options;
}

TokenIds random_tokens(int most) {
  return *rc::gen::resize(most, rc::gen::container<TokenIds>(rc::gen::inRange<int32_t>(0, kVocabulary)));
}

// Every option that beams and greedy search look at, each often left alone.
GenerationOptions random_options() {
  const auto rarely = [] { return *rc::gen::weightedElement<bool>({{1, true}, {3, false}}); };
  GenerationOptions options;
  options.num_beams = *rc::gen::inRange<int64_t>(1, 7);
  options.num_return_sequences = *rc::gen::inRange<int64_t>(1, *options.num_beams + 1);
  options.max_length = *rc::gen::inRange<int64_t>(2, 16);
  options.min_length = *rc::gen::inRange<int64_t>(0, *options.max_length + 1);
  options.length_penalty = *rc::gen::element(-1.0, 0.0, 0.5, 1.0, 2.0);
  options.early_stopping = *rc::gen::element(EarlyStopping::kFalse, EarlyStopping::kTrue, EarlyStopping::kNever);
  options.no_repeat_ngram_size = *rc::gen::element<int64_t>(0, 1, 2, 3);
  options.encoder_no_repeat_ngram_size = *rc::gen::element<int64_t>(0, 0, 1, 2);
  options.repetition_penalty = *rc::gen::element(1.0, 0.7, 1.3);
  if (rarely()) options.eos_token_id = TokenIds{kEnd, 7, 9};
  if (rarely()) options.forced_bos_token_id = 5;
  if (rarely()) options.forced_eos_token_id = *rc::gen::element(TokenIds{kEnd}, TokenIds{9, kEnd, 9});
  if (rarely()) {
    // A token that is forced may not be among them.
    const auto is_forced = [&](int32_t id) {
      return options.forced_bos_token_id == id ||
             (options.forced_eos_token_id && std::ranges::count(*options.forced_eos_token_id, id) > 0);
    };
    TokenIds suppressed = random_tokens(20);
    std::erase_if(suppressed, is_forced);
    options.suppress_tokens = std::move(suppressed);
  }
  if (rarely()) options.begin_suppress_tokens = random_tokens(5);
  if (rarely()) {
    auto words = *rc::gen::resize(4, rc::gen::container<std::vector<TokenIds>>(rc::gen::exec([] {
                                    TokenIds word = random_tokens(2);
                                    word.push_back(*rc::gen::inRange<int32_t>(0, kVocabulary));
                                    return word;
                                  })));
    if (!words.empty()) options.bad_words_ids = std::move(words);
  }
  return options;
}

enum class Kind { kPlain, kWithEquals, kAlmostEqual, kMostlyImpossible, kAllEqual };

// Logits for a step's rows.
class RandomLogits {
 public:
  RandomLogits(Kind kind, uint32_t seed) : kind_(kind), random_(seed) {}

  MatrixView<const float> rows(int64_t count, int64_t vocabulary = kVocabulary) {
    logits_.resize(static_cast<size_t>(count * vocabulary));
    for (float& logit : logits_) logit = next();
    if (kind_ == Kind::kMostlyImpossible) {
      for (int64_t row = 0; row < count; ++row) logits_[static_cast<size_t>(row * vocabulary)] = 1.0f;
    }
    return {logits_.data(), count, vocabulary};
  }

  std::vector<float>& last() { return logits_; }

 private:
  float next() {
    const float value = normal_(random_);
    switch (kind_) {
      case Kind::kPlain:
        return value;
      case Kind::kWithEquals:
        return std::floor(value);
      case Kind::kAlmostEqual:  // Sums of log-probabilities round these to equals.
        return std::ldexp(std::floor(value), -24) + 0.5f;
      case Kind::kMostlyImpossible:
        return random_() % 6 == 0 ? std::floor(4 * value) / 4 : -INFINITY;
      case Kind::kAllEqual:
        return 0.25f;
    }
    return 0;
  }

  Kind kind_;
  std::mt19937 random_;
  std::normal_distribution<float> normal_{0.0f, 3.0f};
  std::vector<float> logits_;
};

RankedSteps run(TwinSearches& searches, RandomLogits& logits, int64_t vocabulary = kVocabulary) {
  while (!searches.search().finished()) {
    searches.advance(logits.rows(std::ssize(searches.search().rows()), vocabulary));
  }
  return searches.steps();
}

RC_GTEST_PROP(Ranking, LeadsWhereLogitsLead, (uint32_t seed)) {
  const Kind kind = *rc::gen::element(Kind::kPlain, Kind::kPlain, Kind::kWithEquals, Kind::kAlmostEqual,
                                      Kind::kMostlyImpossible, Kind::kAllEqual);
  TwinSearches searches(std::make_shared<const GenerationPlan>(plan_of(random_options())), random_tokens(30));
  RandomLogits logits(kind, seed);
  run(searches, logits);
}

// Somewhere there is a logit that is no number, or a row without one that can be chosen by.
RC_GTEST_PROP(Ranking, EndsWhereLogitsEnd, (uint32_t seed)) {
  TwinSearches searches(std::make_shared<const GenerationPlan>(plan_of(random_options())), random_tokens(30));
  RandomLogits logits(Kind::kPlain, seed);
  const int64_t bad_step = *rc::gen::inRange(0, 8);
  try {
    for (int64_t step = 0; !searches.search().finished(); ++step) {
      const MatrixView<const float> rows = logits.rows(std::ssize(searches.search().rows()));
      if (step == bad_step) {
        const auto begin = logits.last().end() - kVocabulary;
        const float bad = *rc::gen::element(NAN, INFINITY, -INFINITY);
        if (bad == -INFINITY) {
          std::fill(begin, logits.last().end(), bad);
        } else {
          begin[*rc::gen::inRange<int64_t>(0, kVocabulary)] = bad;
        }
      }
      searches.advance(rows);
    }
  } catch (const Error& error) {
    RC_ASSERT(error.code() == ErrorCode::kInvalidArgument);
  }
}

TEST(Ranking, IsEnoughForNearlyEveryStep) {
  constexpr int64_t kMany = 5000;
  for (const int64_t num_beams : {1, 4, 8}) {
    GenerationOptions options = beams(num_beams);
    options.max_length = options.min_length = 142;
    options.no_repeat_ngram_size = 3;
    options.repetition_penalty = 1.2;
    options.forced_bos_token_id = 0;
    options.forced_eos_token_id = TokenIds{kEnd};
    TwinSearches searches(std::make_shared<const GenerationPlan>(plan_of(options, kMany)), {});
    RandomLogits logits(Kind::kPlain, 3);
    const RankedSteps steps = run(searches, logits, kMany);
    EXPECT_EQ(steps.ranked, 141);
    EXPECT_EQ(steps.refused, 0);
    EXPECT_EQ(steps.unranked, 0);
  }
}

TEST(Ranking, AsksForWhatTheRulesSay) {
  GenerationOptions options = beams(2);
  options.min_length = 4;
  options.repetition_penalty = 1.5;
  options.suppress_tokens = TokenIds{3, 8};
  const auto search = make_search(std::make_shared<const GenerationPlan>(plan_of(options)), {});
  const auto request = search->ranking();
  ASSERT_TRUE(request.has_value());
  EXPECT_EQ(request->k, 5) << "two continuations for each beam, and one to see equals by";
  EXPECT_FALSE(request->rules_come_first);
  ASSERT_EQ(request->rows.size(), 1u);
  EXPECT_THAT(request->rows[0].penalized, testing::ElementsAre(kStart));
  EXPECT_EQ(request->rows[0].penalty, 1.5f);
  EXPECT_THAT(request->rows[0].forbidden, testing::UnorderedElementsAre(3, 8, kEnd));

  options.num_beams = 1;
  const auto greedy = make_search(std::make_shared<const GenerationPlan>(plan_of(options)), {});
  EXPECT_EQ(greedy->ranking()->k, 1);
  EXPECT_TRUE(greedy->ranking()->rules_come_first);
}

TEST(Ranking, IsNotForWhatNeedsWholeRows) {
  GenerationOptions options = beams(2);
  options.do_sample = true;
  const auto ranking = [&](int64_t vocabulary) {
    return make_search(std::make_shared<const GenerationPlan>(plan_of(options, vocabulary)), {})->ranking();
  };
  EXPECT_FALSE(ranking(kVocabulary).has_value());
  options.num_beams = 1;
  EXPECT_FALSE(ranking(kVocabulary).has_value());
  options = beams(64);
  EXPECT_FALSE(ranking(1000).has_value()) << "129 tokens of each row";
  options = beams(63);
  EXPECT_TRUE(ranking(1000).has_value());
  EXPECT_EQ(make_search(std::make_shared<const GenerationPlan>(plan_of(beams(40))), {})->ranking()->k, kVocabulary);
}

// What one step of a beam search makes of one row.
bool advance_by(Search& search, std::vector<Candidate> best) { return search.advance(std::vector<RankedRow>{{best}}); }

TEST(Ranking, EqualsAndWhatIsNoNumberAreLeftToLogits) {
  const std::vector<Candidate> good{{-1, 9}, {-2, 4}, {-3, 5}, {-4, 6}, {-5, 7}};
  const auto plan = std::make_shared<const GenerationPlan>(plan_of(beams(2)));
  const auto with = [&good](size_t place, Candidate candidate) {
    std::vector<Candidate> changed = good;
    changed[place] = candidate;
    return changed;
  };
  const auto search = make_search(plan, {});
  ASSERT_TRUE(search->ranking().has_value());
  EXPECT_FALSE(advance_by(*search, with(1, {-1, 10}))) << "equals";
  EXPECT_FALSE(advance_by(*search, with(4, {-4, 10}))) << "equals, the second of which would be left out";
  EXPECT_FALSE(advance_by(*search, std::vector(5, Candidate{NAN, -1})));
  EXPECT_FALSE(advance_by(*search, with(4, {NAN, 7})));
  EXPECT_FALSE(advance_by(*search, std::vector(5, Candidate{-INFINITY, 3})));
  EXPECT_FALSE(advance_by(*search, with(0, {INFINITY, 9})));
  EXPECT_EQ(search->rows().size(), 1u) << "nothing has changed";
  EXPECT_EQ(search->results(), make_search(plan, {})->results());
  EXPECT_TRUE(advance_by(*search, good));
  EXPECT_THAT(search->rows(), testing::ElementsAre(StepRow{9, 0}, StepRow{4, 0}));
}

TEST(Ranking, RefusesWhatItDidNotAskFor) {
  const auto plan = std::make_shared<const GenerationPlan>(plan_of(beams(2)));
  const std::vector<Candidate> good{{-1, 9}, {-2, 4}, {-3, 5}, {-4, 6}, {-5, 7}};
  const auto expect_error = [&](Search& search, const std::vector<RankedRow>& rows, const char* what) {
    EXPECT_THAT([&] { (void)search.advance(rows); }, testing::ThrowsMessage<Error>(HasSubstr(what)));
  };
  const auto search = make_search(plan, {});
  expect_error(*search, {{good}}, "asked for no ranked rows");
  ASSERT_TRUE(search->ranking().has_value());
  expect_error(*search, {{good}, {good}}, "asked for 1 ranked rows, but was given 2");
  expect_error(*search, {{std::span(good).first(4)}}, "asked for the 5 best tokens of a row, but was given 4");
  std::vector<Candidate> beyond = good;
  beyond[2].index = kVocabulary;
  expect_error(*search, {{beyond}}, "has the token 41, beyond the vocabulary of 41");
  ASSERT_TRUE(advance_by(*search, good));
  expect_error(*search, {{good}, {good}}, "asked for no ranked rows");

  GenerationOptions short_one = beams(1);
  short_one.max_length = 2;
  const auto finished = make_search(std::make_shared<const GenerationPlan>(plan_of(short_one)), {});
  ASSERT_TRUE(finished->ranking().has_value());
  ASSERT_TRUE(advance_by(*finished, {{-1, 9}}));
  EXPECT_TRUE(finished->finished());
  EXPECT_FALSE(finished->ranking().has_value());
}

// Forced tokens need no ranking but that the logits are numbers.
TEST(Ranking, ForcedTokensGoByRankedRowsToo) {
  for (const int64_t num_beams : {1, 3}) {
    GenerationOptions options = beams(num_beams);
    options.forced_bos_token_id = 5;
    options.forced_eos_token_id = TokenIds{kEnd};
    TwinSearches searches = twins_of(options);
    RandomLogits logits(Kind::kPlain, 11);
    const RankedSteps steps = run(searches, logits);
    EXPECT_GT(steps.ranked, 1);
    EXPECT_EQ(steps.refused, 0);
  }
}

}  // namespace
}  // namespace remuda
