// Greedy search: always the most probable token, the one with the least id among equals.
#include <array>
#include <cmath>
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

  std::optional<RankingRequest> rank() override;
  bool step_ranked(std::span<const RankedRow> ranked) override;

  TokenRules found_;
  std::array<RowRules, 1> row_rules_;
};

// There is one sequence, and so one row.
std::optional<RankingRequest> GreedySearch::rank() {
  if (plan().needs_whole_rows()) return std::nullopt;
  rules_.find(running().ids(0), found_);
  row_rules_ = {found_.view()};
  return RankingRequest{.k = 1, .rules_come_first = true, .rows = row_rules_};
}

bool GreedySearch::step_ranked(std::span<const RankedRow> ranked) {
  if (found_.is_forced) {
    if (found_.forced.empty()) return false;
    const LogSoftmax equal{.max = 0.0f, .log_sum = std::log(static_cast<float>(found_.forced.size()))};
    extend(0, found_.forced.front(), equal(0.0f));
  } else {
    const Candidate& best = ranked.front().best.front();
    extend(0, static_cast<int32_t>(best.index), best.score);
  }
  go_on();
  return true;
}

}  // namespace

std::unique_ptr<Search> make_greedy_search(std::shared_ptr<const GenerationPlan> plan,
                                           std::span<const int32_t> encoder_ids) {
  return std::make_unique<GreedySearch>(std::move(plan), encoder_ids);
}

}  // namespace remuda
