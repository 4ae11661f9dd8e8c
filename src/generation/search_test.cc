// What holds for every search, whatever the model: here a function that makes logits of a hash of the prefix.
#include "generation/search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <random>
#include <set>

#include "generation/random.h"
#include "generation/search_test_support.h"
#include "remuda/error.h"

namespace remuda {
namespace {

constexpr int64_t kVocabulary = 23;
constexpr int32_t kStart = 1, kEnd = 2;

// Logits in [-3, 3) that depend on the whole prefix and the document.
class HashModel {
 public:
  explicit HashModel(uint64_t document) : document_(document) {}

  std::vector<float> logits(std::span<const int32_t> prefix) const {
    uint64_t hash = document_;
    for (const int32_t id : prefix) hash = (hash ^ static_cast<uint64_t>(id)) * 0x9E3779B97F4A7C15u + 0x7F4A7C15u;
    std::vector<float> row(kVocabulary);
    for (size_t i = 0; i < row.size(); ++i) row[i] = static_cast<float>(6 * uniform(hash, 0, 0, i) - 3);
    return row;
  }

 private:
  uint64_t document_;
};

// Drives a search, and its twin that goes by ranked rows; keeps each row's prefix as a model keeps its cache, by the
// parents alone.
class Driver {
 public:
  Driver(const GenerationPlan& plan, uint64_t document)
      : model_(document), searches_(std::make_shared<GenerationPlan>(plan), {}) {}

  Search& search() { return searches_.search(); }
  const std::vector<TokenIds>& prefixes() const { return prefixes_; }

  void step() {
    std::vector<TokenIds> prefixes;
    std::vector<float> logits;
    for (const StepRow& row : search().rows()) {
      TokenIds prefix = row.parent < 0 ? TokenIds{} : prefixes_.at(static_cast<size_t>(row.parent));
      prefix.push_back(row.token);
      const std::vector<float> next = model_.logits(prefix);
      logits.insert(logits.end(), next.begin(), next.end());
      prefixes.push_back(std::move(prefix));
    }
    prefixes_ = std::move(prefixes);
    searches_.advance(MatrixView<const float>(logits.data(), static_cast<int64_t>(prefixes_.size()), kVocabulary));
  }

  std::vector<Hypothesis> finish() {
    while (!search().finished()) step();
    return search().results();
  }

 private:
  HashModel model_;
  TwinSearches searches_;
  std::vector<TokenIds> prefixes_;
};

GenerationOptions minimal() {
  GenerationOptions options;
  options.decoder_start_token_id = kStart;
  options.eos_token_id = TokenIds{kEnd};
  return options;
}

GenerationPlan plan_of(const GenerationOptions& options) {
  return resolve(options.over(minimal()), {.vocabulary = kVocabulary, .max_positions = 0});
}

GenerationOptions random_options() {
  GenerationOptions options;
  options.num_beams = *rc::gen::inRange<int64_t>(1, 7);
  options.do_sample = *rc::gen::arbitrary<bool>();
  if (options.num_beams > 1) options.num_return_sequences = *rc::gen::inRange<int64_t>(1, *options.num_beams + 1);
  if (options.num_beams == 1 && *options.do_sample) options.num_return_sequences = *rc::gen::inRange<int64_t>(1, 5);
  options.seed = *rc::gen::inRange<int64_t>(0, 1000);
  options.max_length = *rc::gen::inRange<int64_t>(2, 16);
  options.min_length = *rc::gen::inRange<int64_t>(0, *options.max_length + 1);
  options.length_penalty = *rc::gen::element(-1.0, 0.0, 0.5, 1.0, 2.0);
  options.early_stopping = *rc::gen::element(EarlyStopping::kFalse, EarlyStopping::kTrue, EarlyStopping::kNever);
  options.no_repeat_ngram_size = *rc::gen::element<int64_t>(0, 2, 3);
  options.repetition_penalty = *rc::gen::element(1.0, 1.3);
  options.temperature = *rc::gen::element(0.5, 1.0, 1.5);
  options.top_k = *rc::gen::element<int64_t>(0, 12, 50);
  if (*rc::gen::arbitrary<bool>()) options.forced_eos_token_id = TokenIds{kEnd};
  if (*rc::gen::arbitrary<bool>()) options.forced_bos_token_id = 5;
  if (*rc::gen::arbitrary<bool>()) options.eos_token_id = TokenIds{kEnd, 7};
  return options;
}

bool ends(const GenerationPlan& plan, int32_t token) {
  return std::ranges::find(plan.eos_token_id, token) != plan.eos_token_id.end();
}

RC_GTEST_PROP(Search, ResultsKeepToTheirOptions, (uint64_t document)) {
  const GenerationPlan plan = plan_of(random_options());
  Driver driver(plan, document);
  const std::vector<Hypothesis> results = driver.finish();
  RC_ASSERT(static_cast<int64_t>(results.size()) == plan.num_return_sequences);
  for (const Hypothesis& result : results) {
    const TokenIds& ids = result.ids;
    if (!result.complete) RC_ASSERT(result.score < -1e7);
    if (result.score < -1e7) continue;
    const auto length = static_cast<int64_t>(ids.size());
    RC_ASSERT(ids.front() == kStart);
    RC_ASSERT(length <= plan.max_length);
    RC_ASSERT(ends(plan, ids.back()) || length == plan.max_length);
    RC_ASSERT(std::none_of(ids.begin() + 1, ids.end() - 1, [&](int32_t id) { return ends(plan, id); }));
    // An end token that is forced by the greatest length comes even before the least one.
    const bool forced = length == plan.max_length && !plan.forced_eos_token_id.empty();
    if (ends(plan, ids.back())) RC_ASSERT(length > plan.min_length || forced);
    if (plan.forced_bos_token_id && plan.max_length > 2) RC_ASSERT(ids[1] == *plan.forced_bos_token_id);
  }
  if (plan.num_beams > 1) {
    RC_ASSERT(std::ranges::is_sorted(results, std::ranges::greater(), &Hypothesis::score));
  }
}

RC_GTEST_PROP(Search, RowsAreDistinctAndFewEnough, (uint64_t document)) {
  const GenerationPlan plan = plan_of(random_options());
  Driver driver(plan, document);
  RC_ASSERT(driver.search().rows().size() == 1u);
  while (!driver.search().finished()) {
    driver.step();
    const std::set<TokenIds> distinct(driver.prefixes().begin(), driver.prefixes().end());
    RC_ASSERT(distinct.size() == driver.prefixes().size());
    RC_ASSERT(static_cast<int64_t>(distinct.size()) <= std::max(plan.num_beams, plan.num_return_sequences));
  }
}

RC_GTEST_PROP(Search, WhatIsSettledStays, (uint64_t document)) {
  const GenerationPlan plan = plan_of(random_options());
  Driver driver(plan, document);
  TokenIds settled{kStart};
  while (!driver.search().finished()) {
    driver.step();
    const auto now = driver.search().settled();
    RC_ASSERT(now.size() >= settled.size());
    RC_ASSERT(std::equal(settled.begin(), settled.end(), now.begin()));
    settled.assign(now.begin(), now.end());
  }
  RC_ASSERT(settled == driver.search().results().front().ids);
}

// A deadline may come at any step.
RC_GTEST_PROP(Search, ThereIsAlwaysAResultSoFar, (uint64_t document)) {
  const GenerationPlan plan = plan_of(random_options());
  Driver driver(plan, document);
  for (int64_t length = 1; !driver.search().finished(); ++length) {
    const auto results = driver.search().results();
    RC_ASSERT(static_cast<int64_t>(results.size()) == plan.num_return_sequences);
    for (const Hypothesis& result : results) {
      RC_ASSERT(static_cast<int64_t>(result.ids.size()) <= length);
      if (!result.complete) RC_ASSERT(static_cast<int64_t>(result.ids.size()) == length);
    }
    driver.step();
  }
}

// Several documents in turn, in any order, against each alone: the same bits.
RC_GTEST_PROP(Search, DoesNotDependOnOthers, (const std::vector<uint64_t>& documents)) {
  std::vector<std::unique_ptr<Driver>> together;
  std::vector<std::vector<Hypothesis>> alone;
  for (const uint64_t document : documents) {
    const GenerationPlan plan = plan_of(random_options());
    together.push_back(std::make_unique<Driver>(plan, document));
    alone.push_back(Driver(plan, document).finish());
  }
  const auto running = [](const auto& driver) { return !driver->search().finished(); };
  std::mt19937 random(*rc::gen::arbitrary<uint32_t>());
  while (std::ranges::any_of(together, running)) {
    const size_t i = random() % together.size();
    if (running(together[i])) together[i]->step();
  }
  for (size_t i = 0; i < together.size(); ++i) RC_ASSERT(together[i]->search().results() == alone[i]);
}

// One beam is greedy search: the most probable token, step by step, written down once more.
RC_GTEST_PROP(Search, OneBeamIsGreedy, (uint64_t document)) {
  GenerationOptions options;
  options.max_length = 12;
  options.repetition_penalty = *rc::gen::element(1.0, 1.5);
  const auto results = Driver(plan_of(options), document).finish();
  const HashModel model(document);
  TokenIds ids{kStart};
  double score = 0;
  while (ids.size() < 12 && (ids.size() == 1 || ids.back() != kEnd)) {
    std::vector<float> logits = model.logits(ids);
    for (const int32_t id : std::set<int32_t>(ids.begin(), ids.end())) {
      float& logit = logits[static_cast<size_t>(id)];
      const auto penalty = static_cast<float>(*options.repetition_penalty);
      logit = logit < 0 ? logit * penalty : logit / penalty;
    }
    const auto best = std::ranges::max_element(logits);
    double sum = 0;
    for (const float logit : logits) sum += std::exp(static_cast<double>(logit - *best));
    score -= std::log(sum);
    ids.push_back(static_cast<int32_t>(best - logits.begin()));
  }
  RC_ASSERT(results.front().ids == ids);
  RC_ASSERT(std::abs(results.front().score - score) < 1e-4);
}

// All sequences there are, scored: with as many beams as tokens beam search over two tokens misses none.
RC_GTEST_PROP(Search, EnoughBeamsFindTheBestOfAll, (uint64_t document)) {
  GenerationOptions options;
  options.num_beams = kVocabulary;
  options.max_length = 3;
  options.length_penalty = *rc::gen::element(0.0, 1.0, 2.0);
  options.early_stopping = EarlyStopping::kNever;
  const Hypothesis found = Driver(plan_of(options), document).finish().front();

  const HashModel model(document);
  const auto log_probabilities = [&](const TokenIds& prefix) {
    std::vector<float> logits = model.logits(prefix);
    double sum = 0;
    for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
    for (float& logit : logits) logit -= static_cast<float>(std::log(sum));
    return logits;
  };
  double best = -1e30;
  const auto first = log_probabilities({kStart});
  for (int32_t a = 0; a < kVocabulary; ++a) {
    const double p = first[static_cast<size_t>(a)];
    if (a == kEnd) {
      best = std::max(best, p);
      continue;
    }
    const auto second = log_probabilities({kStart, a});
    best = std::max(best, (p + *std::ranges::max_element(second)) / std::pow(2.0, *options.length_penalty));
  }
  RC_ASSERT(std::abs(found.score - best) < 1e-4);
}

// Pearson's statistic of counts against probabilities, over those that can happen.
double chi_square(const std::map<TokenIds, int>& counts, const std::map<TokenIds, double>& probabilities, int draws) {
  double sum = 0;
  for (const auto& [ids, probability] : probabilities) {
    const auto found = counts.find(ids);
    const double expected = probability * draws, count = found == counts.end() ? 0 : found->second;
    sum += (count - expected) * (count - expected) / expected;
  }
  return sum;
}

// The softmax of the first step's logits over its `k` greatest.
std::map<int32_t, double> top_k_probabilities(uint64_t document, size_t k, double temperature) {
  const std::vector<float> logits = HashModel(document).logits(std::array{kStart});
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, std::greater(), [&](int32_t i) { return logits[static_cast<size_t>(i)]; });
  std::map<int32_t, double> probabilities;
  double sum = 0;
  for (size_t i = 0; i < k; ++i) {
    sum += probabilities[order[i]] = std::exp(static_cast<double>(logits[static_cast<size_t>(order[i])]) / temperature);
  }
  for (auto& [id, probability] : probabilities) probability /= sum;
  return probabilities;
}

TEST(Sampling, DrawsFromTheWarpedDistribution) {
  constexpr int kDraws = 20000;
  GenerationOptions options;
  options.do_sample = true;
  options.temperature = 1.4;
  options.top_k = 8;
  options.max_new_tokens = 1;
  options.num_return_sequences = 2;
  std::map<TokenIds, int> counts;
  for (int seed = 0; seed < kDraws / 2; ++seed) {
    options.seed = seed;
    for (const Hypothesis& result : Driver(plan_of(options), 42).finish()) ++counts[result.ids];
  }
  std::map<TokenIds, double> expected;
  for (const auto& [id, probability] : top_k_probabilities(42, 8, 1.4)) expected[{kStart, id}] = probability;
  EXPECT_EQ(counts.size(), expected.size()) << "drew what top_k excludes, or never drew a token";
  EXPECT_LT(chi_square(counts, expected, kDraws), 24.3);  // 7 degrees of freedom, one in a thousand.
}

// Two tokens drawn without replacement, of which the more probable one is the first result.
TEST(BeamSampling, DrawsWithoutReplacement) {
  constexpr int kDraws = 20000;
  GenerationOptions options;
  options.do_sample = true;
  options.num_beams = 2;
  options.num_return_sequences = 2;
  options.top_k = 5;
  options.max_new_tokens = 1;
  std::map<TokenIds, int> counts;
  for (int seed = 0; seed < kDraws; ++seed) {
    options.seed = seed;
    const auto results = Driver(plan_of(options), 43).finish();
    ASSERT_GE(results[0].score, results[1].score);
    ++counts[{results[0].ids[1], results[1].ids[1]}];
  }
  const auto single = top_k_probabilities(43, 5, 1.0);
  std::map<TokenIds, double> expected;
  for (const auto& [a, p] : single) {
    for (const auto& [b, q] : single) {
      if (p > q) expected[{a, b}] = p * q / (1 - p) + q * p / (1 - q);
    }
  }
  EXPECT_EQ(counts.size(), expected.size());
  EXPECT_LT(chi_square(counts, expected, kDraws), 27.9);  // 9 degrees of freedom, one in a thousand.
}

TEST(Sampling, TheSeedDecides) {
  GenerationOptions options;
  options.do_sample = true;
  options.max_length = 12;
  std::set<TokenIds> results;
  for (int seed = 0; seed < 20; ++seed) {
    options.seed = seed;
    const auto first = Driver(plan_of(options), 1).finish().front().ids;
    EXPECT_EQ(first, Driver(plan_of(options), 1).finish().front().ids);
    results.insert(first);
  }
  EXPECT_GT(results.size(), 15u);
}

TEST(Search, RefusesWrongLogits) {
  const GenerationPlan plan = plan_of({});
  Driver driver(plan, 1);
  std::vector<float> logits(2 * kVocabulary, 0.0f);
  using View = MatrixView<const float>;
  EXPECT_THROW(driver.search().advance(View(logits.data(), 2, kVocabulary)), Error);
  EXPECT_THROW(driver.search().advance(View(logits.data(), 1, kVocabulary - 1)), Error);
  logits[3] = NAN;
  EXPECT_THROW(driver.search().advance(View(logits.data(), 1, kVocabulary)), Error);
  driver.finish();
  EXPECT_THROW(driver.search().advance(View(logits.data(), 1, kVocabulary)), Error);
}

TEST(Search, ReadsLogitsWithAStride) {
  GenerationOptions options;
  options.num_beams = 3;
  Driver driver(plan_of(options), 9);
  const auto expected = Driver(plan_of(options), 9).finish();
  driver.step();
  const HashModel model(9);
  std::vector<float> wide(3 * 40, NAN);
  const auto rows = driver.search().rows();
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto row = model.logits(std::array{kStart, rows[i].token});
    std::ranges::copy(row, wide.begin() + static_cast<int64_t>(i) * 40);
  }
  Driver plain(plan_of(options), 9);
  plain.step();
  plain.step();
  driver.search().advance({wide.data(), static_cast<int64_t>(rows.size()), kVocabulary, 40});
  EXPECT_TRUE(driver.search().results() == plain.search().results());
  EXPECT_TRUE(std::ranges::equal(driver.search().rows(), plain.search().rows()));
}

TEST(Search, NothingAllowedIsAnErrorOnlyWhereTokensAreDrawn) {
  GenerationOptions options;
  options.suppress_tokens = TokenIds(kVocabulary);
  std::iota(options.suppress_tokens->begin(), options.suppress_tokens->end(), 0);
  options.max_length = 4;
  EXPECT_EQ(Driver(plan_of(options), 1).finish().front().ids, (TokenIds{kStart, 0, 0, 0})) << "as in transformers";
  options.do_sample = true;
  EXPECT_THROW(Driver(plan_of(options), 1).finish(), Error);
  options.do_sample = false;
  options.num_beams = 2;
  EXPECT_LT(Driver(plan_of(options), 1).finish().front().score, -1e8);
}

}  // namespace
}  // namespace remuda
