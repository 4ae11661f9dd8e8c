// The sequences of a search that are still growing, all of one length, and the rows of the model that they share.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "generation/search.h"

namespace remuda {

// One step of one sequence: sequence `parent` of before, with `token` behind it.
struct Extension {
  int32_t parent = 0;
  int32_t token = 0;
};

// Invariant: two sequences have the same row exactly if they are equal.
class RunningSequences {
 public:
  // `count` sequences that consist of `start_token`; there are never more.
  RunningSequences(int64_t count, int64_t max_length, int32_t start_token);

  int64_t count() const { return static_cast<int64_t>(row_of_.size()); }
  int64_t length() const { return length_; }
  std::span<const int32_t> ids(int64_t sequence) const;

  std::span<const StepRow> rows() const { return rows_; }
  int32_t row_of(int64_t sequence) const { return row_of_[static_cast<size_t>(sequence)]; }
  // The first sequence of a row.
  int32_t sequence_of(int64_t row) const { return sequence_of_[static_cast<size_t>(row)]; }

  // Replaces all sequences; each becomes one token longer. Without extensions nothing is left.
  void extend(std::span<const Extension> extensions);

 private:
  int64_t max_length_;
  int64_t length_ = 1;
  std::vector<int32_t> ids_;       // [most sequences, max_length]
  std::vector<int32_t> next_ids_;  // Where extend puts the new ones together.
  std::vector<int32_t> row_of_, next_row_of_;
  std::vector<int32_t> sequence_of_;
  std::vector<StepRow> rows_, next_rows_;
};

}  // namespace remuda
