// Greedy search: always the most probable token, the one with the least id among equals.
#include <utility>

#include "generation/token_search.h"

namespace remuda {

namespace {

class GreedySearch final : public TokenSearch {
 public:
  using TokenSearch::TokenSearch;

 private:
  void prepare(std::span<float>) override {}
  int32_t choose(std::span<const float> scores, int64_t, int64_t) override {
    return static_cast<int32_t>(score_rows_.argmax(scores));
  }
};

}  // namespace

std::unique_ptr<Search> make_greedy_search(std::shared_ptr<const GenerationPlan> plan,
                                           std::span<const int32_t> encoder_ids) {
  return std::make_unique<GreedySearch>(std::move(plan), encoder_ids);
}

}  // namespace remuda
