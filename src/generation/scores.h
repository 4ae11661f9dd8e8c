// A row of scores (logits or log-probabilities, one a token of the vocabulary), and what search does with it as a
// whole: normalise it, find its greatest elements. Vectorised; each row's result depends on that row alone.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/isa.h"

namespace remuda {

struct VocabularyRowKernels;

// What makes logits log-probabilities: log p = (x - max) - log_sum, with log_sum = log(sum(e^(x - max))).
struct LogSoftmax {
  float max = 0;
  float log_sum = 0;

  float operator()(float logit) const { return (logit - max) - log_sum; }
};

// One candidate for a continuation: a position in what was scanned, and its score.
struct Candidate {
  float score = 0;
  int64_t index = 0;
};

class ScoreRows {
 public:
  explicit ScoreRows(kernels::Isa isa = kernels::active_isa());

  // Throws Error(kInvalidArgument) where the row has a NaN or +infinity or nothing but -infinity: the model is broken,
  // and every token would be arbitrary.
  LogSoftmax log_softmax(std::span<const float> logits) const;
  // As above, and writes the log-probabilities, which may go where the logits are.
  LogSoftmax log_softmax(std::span<const float> logits, std::span<float> out) const;

  // As above, for logits of any kind: where there are none to choose by, every log-probability is NaN, as PyTorch's
  // are.
  void log_softmax_or_nan(std::span<const float> logits, std::span<float> out) const;

  // The first of the greatest elements. The row must not be empty.
  int64_t argmax(std::span<const float> scores) const;

  // Calls visit(i) for all i whose element is not -infinity, of which a row that was warped has few. One that has NaNs
  // may be visited without them.
  template <typename Visit>
  void for_each_possible(std::span<const float> scores, Visit&& visit) const {
    const auto n = static_cast<int64_t>(scores.size());
    for (int64_t i = 0; i < n; ++i) {
      if (scores[static_cast<size_t>(i)] == -INFINITY && (i = next_possible(scores, i)) == n) return;
      visit(i);
    }
  }

 private:
  friend class TopCandidates;
  int64_t next_possible(std::span<const float> scores, int64_t begin) const;

  const VocabularyRowKernels* kernels_;
};

// The k greatest of all that it is shown, greatest first; among equals those shown first. One pass without a sort: a
// candidate costs a comparison, vectorised, unless it is among the best so far.
class TopCandidates {
 public:
  explicit TopCandidates(ScoreRows rows = ScoreRows()) : rows_(rows) {}

  // Forgets everything and keeps `k` from now on; k > 0. Allocates only the first time.
  void reset(int64_t k);
  // Shows it scores[i] + offset, with the index base + i, for all i.
  void scan(std::span<const float> scores, float offset, int64_t base);
  // Shows it one candidate.
  void add(Candidate candidate);

  // Fewer than k where fewer were shown.
  std::span<const Candidate> best() const { return best_; }

 private:
  ScoreRows rows_;
  int64_t k_ = 0;
  std::vector<Candidate> best_;
};

// Moves the k greatest to the front, greatest first, as torch.topk on the CPU does: which of several equals it takes is
// not documented, but transformers' beam search meets equals (what must not win has the same score as a place that is
// empty; forced tokens score the same) and its results depend on it. 0 < k <= candidates.size().
void select_as_torch_topk(std::vector<Candidate>& candidates, int64_t k);

}  // namespace remuda
