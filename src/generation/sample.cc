// Sampling: num_return_sequences sequences whose tokens are drawn from the warped distribution, independently.
#include <algorithm>
#include <cmath>
#include <utility>

#include "base/fail.h"
#include "generation/random.h"
#include "generation/token_search.h"

namespace remuda {

namespace {

class Sampling final : public TokenSearch {
 public:
  using TokenSearch::TokenSearch;

 private:
  void prepare(std::span<float> scores) override;
  int32_t choose(std::span<const float> scores, int64_t sequence, int64_t length) override;

  // The tokens that can be drawn, in rising order, and the sum of the weights up to each.
  std::vector<int32_t> tokens_;
  std::vector<double> cumulative_;
};

void Sampling::prepare(std::span<float> scores) {
  rules_.warp(scores);
  tokens_.clear();
  cumulative_.clear();
  const float max = scores[static_cast<size_t>(score_rows_.argmax(scores))];
  if (max == -INFINITY) {
    fail(ErrorCode::kInvalidArgument, "the generation options forbid every token, so there is none to draw");
  }
  double sum = 0;
  score_rows_.for_each_possible(scores, [&](int64_t token) {
    sum += static_cast<double>(std::exp(scores[static_cast<size_t>(token)] - max));
    tokens_.push_back(static_cast<int32_t>(token));
    cumulative_.push_back(sum);
  });
}

int32_t Sampling::choose(std::span<const float>, int64_t sequence, int64_t length) {
  const auto seed = static_cast<uint64_t>(plan().seed);
  const double draw =
      uniform(seed, static_cast<uint32_t>(sequence), static_cast<uint32_t>(length), 0) * cumulative_.back();
  // The first token whose share of [0, sum) reaches beyond the draw: one with weight 0 is never it.
  const auto place = std::upper_bound(cumulative_.begin(), cumulative_.end(), draw);
  return tokens_[std::min(static_cast<size_t>(place - cumulative_.begin()), tokens_.size() - 1)];
}

}  // namespace

std::unique_ptr<Search> make_sampling(std::shared_ptr<const GenerationPlan> plan,
                                      std::span<const int32_t> encoder_ids) {
  return std::make_unique<Sampling>(std::move(plan), encoder_ids);
}

}  // namespace remuda
