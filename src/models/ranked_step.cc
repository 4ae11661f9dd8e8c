#include "models/ranked_step.h"

#include <algorithm>
#include <exception>
#include <optional>

#include "base/fail.h"

namespace remuda::models {

// The searches know nothing of each other: each on whatever thread is free.
template <typename Work>
void RankedStep::for_each_part(ComputePool& pool, Work&& work) {
  pool.parallel_for(std::ssize(documents_), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      BartEngine::DocumentStep& document = documents_[static_cast<size_t>(i)];
      if (document.error != nullptr) continue;
      try {
        work(document, parts_[static_cast<size_t>(i)]);
      } catch (...) {
        document.error = std::current_exception();
      }
    }
  });
}

void RankedStep::begin(std::span<BartEngine::DocumentStep> documents, ComputePool& pool) {
  documents_ = documents;
  if (parts_.size() < documents.size()) parts_.resize(documents.size());
  for_each_part(pool, [](BartEngine::DocumentStep& document, Part& part) {
    const std::optional<RankingRequest> request = document.search->ranking();
    part.request = request.value_or(RankingRequest{});
    part.needs_logits = !request;
  });
  rows_.clear();
  rankings_.clear();
  k_ = 0;
  for (size_t i = 0; i < documents.size(); ++i) {
    Part& part = parts_[i];
    part.first_row = std::ssize(rows_);
    if (documents[i].error == nullptr) {
      const auto rows = documents[i].search->rows();
      rows_.insert(rows_.end(), rows.begin(), rows.end());
      for (const RowRules& rules : part.request.rows) rankings_.push_back({rules, part.request.rules_come_first});
      rankings_.resize(rows_.size());
      k_ = std::max(k_, part.request.k);
    }
    part.num_rows = std::ssize(rows_) - part.first_row;
  }
}

void RankedStep::advance(std::span<const float> scores, std::span<const int32_t> tokens, const Fetch& fetch,
                         ComputePool& pool) {
  const size_t expected = rows_.size() * static_cast<size_t>(k_);
  check_invariant(scores.size() == expected && tokens.size() == expected, "every row of a step is ranked");
  for_each_part(pool, [&](BartEngine::DocumentStep& document, Part& part) {
    if (!part.needs_logits) part.needs_logits = !advance_ranked(part, *document.search, scores, tokens);
  });
  advance_by_logits(fetch, pool);
}

bool RankedStep::advance_ranked(Part& part, Search& search, std::span<const float> scores,
                                std::span<const int32_t> tokens) const {
  const int64_t k = part.request.k;
  part.candidates.resize(static_cast<size_t>(part.num_rows * k));
  part.ranked.clear();
  for (int64_t row = 0; row < part.num_rows; ++row) {
    const std::span<Candidate> best =
        std::span(part.candidates).subspan(static_cast<size_t>(row * k), static_cast<size_t>(k));
    const auto at = static_cast<size_t>((part.first_row + row) * k_);
    for (size_t i = 0; i < best.size(); ++i) best[i] = {.score = scores[at + i], .index = tokens[at + i]};
    part.ranked.push_back({best});
  }
  return search.advance(part.ranked);
}

void RankedStep::advance_by_logits(const Fetch& fetch, ComputePool& pool) {
  fetched_rows_.clear();
  for (size_t i = 0; i < documents_.size(); ++i) {
    Part& part = parts_[i];
    if (documents_[i].error != nullptr || !part.needs_logits) continue;
    part.first_fetched = std::ssize(fetched_rows_);
    for (int64_t row = 0; row < part.num_rows; ++row) {
      fetched_rows_.push_back(static_cast<int32_t>(part.first_row + row));
    }
  }
  if (fetched_rows_.empty()) return;
  const MatrixView<const float> logits = fetch(fetched_rows_);
  for_each_part(pool, [&](BartEngine::DocumentStep& document, const Part& part) {
    if (part.needs_logits) document.search->advance(logits.slice_rows(part.first_fetched, part.num_rows));
  });
}

}  // namespace remuda::models
