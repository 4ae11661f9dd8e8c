// Searches in tests, advanced by whole rows of logits and by ranked ones.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "generation/search.h"
#include "remuda/error.h"

namespace remuda {

// The definition of ranking.h, a sort of the whole row.
inline std::vector<Candidate> rank_row(std::span<const float> logits, const RowRules& rules, bool rules_come_first,
                                       int64_t k) {
  std::vector<float> scores(logits.begin(), logits.end());
  const auto apply_rules = [&] {
    for (const int32_t token : rules.penalized) {
      float& score = scores.at(static_cast<size_t>(token));
      score = score < 0 ? score * rules.penalty : score / rules.penalty;
    }
    for (const int32_t token : rules.forbidden) scores.at(static_cast<size_t>(token)) = -INFINITY;
  };
  if (rules_come_first) apply_rules();
  LogSoftmax log_softmax;
  try {
    log_softmax = ScoreRows().log_softmax(scores);
  } catch (const Error&) {
    return {static_cast<size_t>(k), {.score = NAN, .index = -1}};
  }
  if (!rules_come_first) {
    for (float& score : scores) score = log_softmax(score);
    apply_rules();
  }
  std::vector<Candidate> all;
  for (const float score : scores) all.push_back({.score = score, .index = std::ssize(all)});
  std::ranges::sort(all, {}, [](const Candidate& candidate) { return std::pair(-candidate.score, candidate.index); });
  all.resize(static_cast<size_t>(k));
  if (rules_come_first) {
    for (Candidate& candidate : all) candidate.score = log_softmax(candidate.score);
  }
  return all;
}

// How many steps of a search went which way.
struct RankedSteps {
  int64_t ranked = 0;
  int64_t refused = 0;   // By logits, after ranked rows were not enough.
  int64_t unranked = 0;  // By logits, which it asked for.

  RankedSteps& operator+=(const RankedSteps& other) {
    ranked += other.ranked;
    refused += other.refused;
    unranked += other.unranked;
    return *this;
  }
};

// One step by the ranked rows of these logits where that can be.
inline void advance_ranked(Search& search, MatrixView<const float> logits, RankedSteps& steps) {
  const std::optional<RankingRequest> request = search.ranking();
  if (!request) {
    ++steps.unranked;
    return search.advance(logits);
  }
  if (std::ssize(request->rows) != logits.rows) throw std::logic_error("the search ranks other rows than it has");
  std::vector<std::vector<Candidate>> best;
  std::vector<RankedRow> ranked;
  for (int64_t row = 0; row < logits.rows; ++row) {
    const RowRules& rules = request->rows[static_cast<size_t>(row)];
    std::vector<int32_t> penalized(rules.penalized.begin(), rules.penalized.end());
    std::ranges::sort(penalized);
    if (std::ranges::adjacent_find(penalized) != penalized.end()) throw std::logic_error("a token is penalized twice");
    best.push_back(
        rank_row({logits.row(row), static_cast<size_t>(logits.cols)}, rules, request->rules_come_first, request->k));
  }
  for (const auto& row : best) ranked.push_back({row});
  if (search.advance(ranked)) {
    ++steps.ranked;
  } else {
    ++steps.refused;
    search.advance(logits);
  }
}

// A search that is advanced by logits, and its twin, which goes by ranked rows where it can. Throws std::logic_error
// where one bit of them differs.
class TwinSearches {
 public:
  TwinSearches(const std::shared_ptr<const GenerationPlan>& plan, std::span<const int32_t> encoder_ids)
      : search_(make_search(plan, encoder_ids)), twin_(make_search(plan, encoder_ids)) {}

  Search& search() { return *search_; }
  const Search& search() const { return *search_; }
  // Of the twin.
  const RankedSteps& steps() const { return steps_; }

  void advance(MatrixView<const float> logits) {
    std::exception_ptr error;
    try {
      search_->advance(logits);
    } catch (const Error&) {
      error = std::current_exception();
    }
    try {
      advance_ranked(*twin_, logits, steps_);
    } catch (const Error&) {
      if (error != nullptr) std::rethrow_exception(error);
      throw std::logic_error("ranked rows lead to an error, logits don't");
    }
    if (error != nullptr) throw std::logic_error("logits lead to an error, ranked rows don't");
    compare();
  }

 private:
  void compare() const {
    if (!std::ranges::equal(search_->rows(), twin_->rows())) throw std::logic_error("ranked rows lead to other rows");
    if (!std::ranges::equal(search_->settled(), twin_->settled())) {
      throw std::logic_error("ranked rows settle other tokens");
    }
    if (search_->results() != twin_->results()) throw std::logic_error("ranked rows lead to other results");
  }

  std::unique_ptr<Search> search_;
  std::unique_ptr<Search> twin_;
  RankedSteps steps_;
};

}  // namespace remuda
