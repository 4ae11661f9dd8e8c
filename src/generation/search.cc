#include "generation/search.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/fail.h"

namespace remuda {

void Search::advance(MatrixView<const float> logits) {
  const auto expected = static_cast<int64_t>(rows().size());
  if (expected == 0) fail(ErrorCode::kInvalidArgument, "the search has finished and can't be advanced");
  if (logits.rows != expected || logits.cols != plan_->vocabulary) {
    fail(ErrorCode::kInvalidArgument, "the search needs logits of shape [{}, {}], but was given [{}, {}]", expected,
         plan_->vocabulary, logits.rows, logits.cols);
  }
  ranked_k_ = 0;
  step(logits);
}

std::optional<RankingRequest> Search::ranking() {
  std::optional<RankingRequest> request;
  if (!finished()) request = rank();
  ranked_k_ = request ? request->k : 0;
  return request;
}

bool Search::advance(std::span<const RankedRow> ranked) {
  if (ranked_k_ == 0) fail(ErrorCode::kInvalidArgument, "the search asked for no ranked rows in this step");
  if (ranked.size() != rows().size()) {
    fail(ErrorCode::kInvalidArgument, "the search asked for {} ranked rows, but was given {}", rows().size(),
         ranked.size());
  }
  for (const auto& [best] : ranked) {
    if (std::ssize(best) != ranked_k_) {
      fail(ErrorCode::kInvalidArgument, "the search asked for the {} best tokens of a row, but was given {}", ranked_k_,
           best.size());
    }
    const auto is_nan = [](const Candidate& candidate) { return std::isnan(candidate.score); };
    if (!std::isfinite(best.front().score) || std::ranges::any_of(best, is_nan)) return false;
    for (const Candidate& candidate : best) {
      if (candidate.index < 0 || candidate.index >= plan_->vocabulary) {
        fail(ErrorCode::kInvalidArgument, "a ranked row has the token {}, beyond the vocabulary of {}", candidate.index,
             plan_->vocabulary);
      }
    }
  }
  if (!step_ranked(ranked)) return false;
  ranked_k_ = 0;
  return true;
}

bool Search::is_end(int32_t token) const {
  return std::ranges::find(plan_->eos_token_id, token) != plan_->eos_token_id.end();
}

std::unique_ptr<Search> make_search(std::shared_ptr<const GenerationPlan> plan, std::span<const int32_t> encoder_ids) {
  if (plan->num_beams > 1) return make_beam_search(std::move(plan), encoder_ids);
  if (plan->do_sample) return make_sampling(std::move(plan), encoder_ids);
  return make_greedy_search(std::move(plan), encoder_ids);
}

}  // namespace remuda
