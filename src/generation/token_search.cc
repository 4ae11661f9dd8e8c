#include "generation/token_search.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace remuda {

TokenSearch::TokenSearch(std::shared_ptr<const GenerationPlan> plan, std::span<const int32_t> encoder_ids)
    : Search(plan),
      rules_(plan, encoder_ids),
      running_(plan->num_return_sequences, plan->longest, plan->decoder_start_token_id),
      number_of_(static_cast<size_t>(plan->num_return_sequences)),
      results_(static_cast<size_t>(plan->num_return_sequences)),
      scores_(static_cast<size_t>(plan->vocabulary)) {
  std::iota(number_of_.begin(), number_of_.end(), 0);
  for (Hypothesis& result : results_) {
    result.ids.reserve(static_cast<size_t>(plan->longest));
    result.ids.push_back(plan->decoder_start_token_id);
  }
}

void TokenSearch::step(MatrixView<const float> logits) {
  const auto num_rows = static_cast<int64_t>(rows().size());
  for (int64_t row = 0; row < num_rows; ++row) {
    std::copy_n(logits.row(row), logits.cols, scores_.begin());
    rules_.process(scores_, running_.ids(running_.sequence_of(row)));
    prepare(scores_);
    if (plan().renormalize_logits) renormalize();
    const LogSoftmax normalised = normalise({logits.row(row), scores_.size()});
    for (int64_t sequence = 0; sequence < running_.count(); ++sequence) {
      if (running_.row_of(sequence) != row) continue;
      const int32_t number = number_of_[static_cast<size_t>(sequence)];
      const int32_t token = choose(scores_, number, running_.length());
      extend(sequence, token, normalised(scores_[static_cast<size_t>(token)]));
    }
  }
  go_on();
}

void TokenSearch::extend(int64_t sequence, int32_t token, float log_probability) {
  const int32_t number = number_of_[static_cast<size_t>(sequence)];
  Hypothesis& result = results_[static_cast<size_t>(number)];
  result.ids.push_back(token);
  result.score += static_cast<double>(log_probability);
  result.complete = is_complete(token, running_.length() + 1);
  if (result.complete) return;
  extensions_.push_back({.parent = static_cast<int32_t>(sequence), .token = token});
  next_numbers_.push_back(number);
}

void TokenSearch::go_on() {
  running_.extend(extensions_);
  number_of_.swap(next_numbers_);
  extensions_.clear();
  next_numbers_.clear();
}

void TokenSearch::renormalize() {
  if (scores_[static_cast<size_t>(score_rows_.argmax(scores_))] == -INFINITY) return;
  score_rows_.log_softmax(scores_, scores_);
}

LogSoftmax TokenSearch::normalise(std::span<const float> logits) const {
  if (scores_[static_cast<size_t>(score_rows_.argmax(scores_))] != -INFINITY) return score_rows_.log_softmax(scores_);
  // The rules forbid everything, or there are NaNs, for which this throws. Without a distribution transformers' greedy
  // search goes on with the first token, whose log-probability is -infinity.
  if (!plan().remove_invalid_values) score_rows_.log_softmax(logits);
  return {};
}

std::vector<Hypothesis> TokenSearch::results() const { return results_; }

std::span<const int32_t> TokenSearch::settled() const { return results_.front().ids; }

}  // namespace remuda
