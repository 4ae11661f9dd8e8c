// What greedy search and sampling have in common: sequences that grow token by token and know nothing of each other.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "generation/logits_rules.h"
#include "generation/running_sequences.h"
#include "generation/scores.h"
#include "generation/search.h"

namespace remuda {

class TokenSearch : public Search {
 public:
  TokenSearch(std::shared_ptr<const GenerationPlan> plan, std::span<const int32_t> encoder_ids);

  std::span<const StepRow> rows() const override { return running_.rows(); }
  std::vector<Hypothesis> results() const override;
  std::span<const int32_t> settled() const override;

 protected:
  // Called once for each row, before the sequences that share it choose: the logits after the rules, which may be
  // changed.
  virtual void prepare(std::span<float> scores) = 0;
  // The next token of a sequence, which is number `sequence` of num_return_sequences and has `length` tokens.
  virtual int32_t choose(std::span<const float> scores, int64_t sequence, int64_t length) = 0;

  const RunningSequences& running() const { return running_; }
  // What makes a step: extend() for every running sequence, those of one row after those of another, then go_on().
  void extend(int64_t sequence, int32_t token, float log_probability);
  void go_on();

  const ScoreRows score_rows_;
  LogitsRules rules_;

 private:
  void step(MatrixView<const float> logits) override;
  // Makes scores_ log-probabilities, where there are any to choose by.
  void renormalize();
  // The distribution of scores_, which the rules have made of `logits`.
  LogSoftmax normalise(std::span<const float> logits) const;

  RunningSequences running_;
  std::vector<int32_t> number_of_;  // Of each running sequence: which of the results it will be.
  std::vector<Hypothesis> results_;
  std::vector<float> scores_;  // [vocabulary]
  std::vector<Extension> extensions_;
  std::vector<int32_t> next_numbers_;
};

}  // namespace remuda
