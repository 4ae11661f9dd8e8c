// Searches of all kinds in one step: each gets what it asked for, and an error is the one's that it comes of.
#include "models/ranked_step.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "models/ranked_engine_test_support.h"
#include "remuda/error.h"

namespace remuda::models {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kVocabulary = 300;

std::shared_ptr<const GenerationPlan> plan_of(int64_t num_beams, bool do_sample = false) {
  GenerationOptions options;
  options.decoder_start_token_id = 1;
  options.eos_token_id = TokenIds{2};
  options.num_beams = num_beams;
  options.do_sample = do_sample;
  options.max_length = 10;
  options.repetition_penalty = 1.5;
  options.no_repeat_ngram_size = 2;
  return std::make_shared<const GenerationPlan>(resolve(options, {.vocabulary = kVocabulary, .max_positions = 0}));
}

class RankedStepTest : public ::testing::Test {
 protected:
  void add(const std::shared_ptr<const GenerationPlan>& plan) { searches_.push_back(make_search(plan, {})); }

  std::vector<BartEngine::DocumentStep> begin() {
    std::vector<BartEngine::DocumentStep> documents;
    for (const auto& search : searches_) documents.push_back({.document = nullptr, .search = search.get()});
    step_.begin(documents, pool_);
    return documents;
  }

  MatrixView<const float> logits() {
    std::normal_distribution<float> normal(0.0f, 3.0f);
    logits_.resize(step_.rows().size() * kVocabulary);
    for (float& logit : logits_) logit = normal(random_);
    return {logits_.data(), std::ssize(step_.rows()), kVocabulary};
  }

  void advance(MatrixView<const float> logits, const RankedStep::Fetch& fetch) {
    const RankedRows ranked(step_, logits);
    step_.advance(ranked.scores, ranked.tokens, fetch, pool_);
  }

  ComputePool pool_{2};
  std::mt19937 random_{7};
  std::vector<std::unique_ptr<Search>> searches_;
  std::vector<float> logits_;
  RankedStep step_;
};

TEST_F(RankedStepTest, EverySearchGoesOnAsByItself) {
  std::vector<std::unique_ptr<Search>> alone;
  for (const auto& plan : {plan_of(4), plan_of(1), plan_of(3, true), plan_of(2), plan_of(1, true)}) {
    add(plan);
    alone.push_back(make_search(plan, {}));
  }
  int64_t fetched = 0;
  while (!searches_.empty()) {
    auto documents = begin();
    const MatrixView<const float> all = logits();
    FetchedRows copy(all);
    for (size_t i = 0, row = 0; i < documents.size(); row += step_.rows_of(i).size(), ++i) {
      alone[i]->advance(all.slice_rows(static_cast<int64_t>(row), std::ssize(step_.rows_of(i))));
    }
    advance(all, [&](std::span<const int32_t> rows) {
      fetched += std::ssize(rows);
      return copy(rows);
    });
    for (size_t i = documents.size(); i-- > 0;) {
      ASSERT_EQ(documents[i].error, nullptr);
      EXPECT_EQ(searches_[i]->results(), alone[i]->results());
      EXPECT_TRUE(std::ranges::equal(searches_[i]->rows(), alone[i]->rows()));
      if (!searches_[i]->finished()) continue;
      searches_.erase(searches_.begin() + static_cast<int64_t>(i));
      alone.erase(alone.begin() + static_cast<int64_t>(i));
    }
  }
  EXPECT_GT(fetched, 0);
  EXPECT_LE(fetched, 9 * 4 + 1) << "those of two that are drawn";
}

TEST_F(RankedStepTest, KIsTheMostThatOneAsksFor) {
  add(plan_of(2));
  add(plan_of(1, true));
  add(plan_of(4));
  begin();
  EXPECT_EQ(step_.k(), 9);
  ASSERT_EQ(step_.rankings().size(), 3u);
  EXPECT_EQ(step_.rankings()[0].rules.penalized.size(), 1u);
  EXPECT_EQ(step_.rankings()[0].rules.penalty, 1.5f);
  EXPECT_EQ(step_.rankings()[1].rules.penalized.size(), 0u);
  searches_.erase(searches_.begin());
  searches_.pop_back();
  begin();
  EXPECT_EQ(step_.k(), 0);
}

TEST_F(RankedStepTest, LogitsThatAreNoNumbersAreTheErrorOfTheirSearch) {
  for (int i = 0; i < 3; ++i) add(plan_of(2));
  auto documents = begin();
  const MatrixView<const float> all = logits();
  logits_[kVocabulary + 5] = NAN;
  advance(all, FetchedRows(all));
  EXPECT_EQ(documents[0].error, nullptr);
  EXPECT_THAT([&] { std::rethrow_exception(documents[1].error); },
              testing::ThrowsMessage<Error>(HasSubstr("not numbers")));
  EXPECT_EQ(documents[2].error, nullptr);
  EXPECT_EQ(searches_[2]->rows().size(), 2u);
}

TEST_F(RankedStepTest, ThatLogitsCannotBeFetchedIsNoDocumentsError) {
  add(plan_of(2));
  add(plan_of(1, true));
  auto documents = begin();
  const RankedStep::Fetch lost = [](std::span<const int32_t>) -> MatrixView<const float> {
    throw DeviceError("cuda:0", /*is_lost=*/true, "it fell off the bus");
  };
  EXPECT_THROW(advance(logits(), lost), DeviceError);
  EXPECT_EQ(documents[0].error, nullptr);
  EXPECT_EQ(documents[1].error, nullptr);
}

}  // namespace
}  // namespace remuda::models
