// A step of many searches whose logits lie far away, on a GPU: its rows, what is ranked of them there, and how searches
// go on with that, and with logits of the rows for which it isn't enough.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "device/compute_pool.h"
#include "generation/ranking.h"
#include "models/bart_engine.h"

namespace remuda::models {

// Used again and again, by one thread at a time: so it allocates in the first steps only.
class RankedStep {
 public:
  // Logits of these rows of the step, [rows.size(), vocabulary], valid until it is called again.
  using Fetch = std::function<MatrixView<const float>(std::span<const int32_t> rows)>;

  // Takes the rows of each document's search, and asks it what to rank. A document whose search throws has an error,
  // and no rows.
  void begin(std::span<BartEngine::DocumentStep> documents, ComputePool& pool);

  // All documents' rows, one document's behind the other's; none where all have errors.
  std::span<const StepRow> rows() const { return rows_; }
  std::span<const StepRow> rows_of(size_t document) const {
    const Part& part = parts_[document];
    return std::span(rows_).subspan(static_cast<size_t>(part.first_row), static_cast<size_t>(part.num_rows));
  }

  // The most that a search asks for; 0 where none can do with ranked rows.
  int64_t k() const { return k_; }
  // [rows]; without rules for searches that need logits.
  std::span<const RowRanking> rankings() const { return rankings_; }

  // Advances the searches. scores, tokens: [rows, k()], what ranking.h defines. A search that throws has an error in
  // its document. Throws what fetching logits throws; some searches have been advanced then.
  void advance(std::span<const float> scores, std::span<const int32_t> tokens, const Fetch& fetch, ComputePool& pool);

 private:
  struct Part {
    int64_t first_row = 0;
    int64_t num_rows = 0;
    RankingRequest request;             // Empty where its search needs logits.
    std::vector<Candidate> candidates;  // [num_rows, request.k]
    std::vector<RankedRow> ranked;
    bool needs_logits = false;
    int64_t first_fetched = 0;
  };

  template <typename Work>
  void for_each_part(ComputePool& pool, Work&& work);
  bool advance_ranked(Part& part, Search& search, std::span<const float> scores, std::span<const int32_t> tokens) const;
  void advance_by_logits(const Fetch& fetch, ComputePool& pool);

  std::span<BartEngine::DocumentStep> documents_;
  std::vector<Part> parts_;  // At least one a document.
  std::vector<StepRow> rows_;
  std::vector<RowRanking> rankings_;
  std::vector<int32_t> fetched_rows_;
  int64_t k_ = 0;
};

}  // namespace remuda::models
