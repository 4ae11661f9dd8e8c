#include "generation/search.h"

#include <algorithm>
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
  step(logits);
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
