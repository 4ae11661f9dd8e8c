// Beam search and beam sampling as transformers 5.23 has them (GenerationMixin._beam_search). Its tensors hold scores
// as floats and mark what must lose with -1e9; these floats are kept here, because which of two sequences wins depends
// on their rounding.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "generation/logits_rules.h"
#include "generation/random.h"
#include "generation/running_sequences.h"
#include "generation/scores.h"
#include "generation/search.h"

namespace remuda {

namespace {

constexpr float kLosing = -1.0e9f;
// The decoder begins with its start token alone; length_penalty does not count it.
constexpr int64_t kPromptLength = 1;
// Where so many of a row's tokens are needed, it is cheaper to have the row.
constexpr int64_t kMostRanked = 128;

class BeamSearch final : public Search {
 public:
  BeamSearch(std::shared_ptr<const GenerationPlan> plan, std::span<const int32_t> encoder_ids);

  std::span<const StepRow> rows() const override { return running_.rows(); }
  std::vector<Hypothesis> results() const override;
  std::span<const int32_t> settled() const override { return settled_; }

 private:
  // A place for a result. Where it is not finished, it is empty or holds what was best of what can't win.
  struct Place {
    TokenIds ids;
    float score = kLosing;
    bool finished = false;
  };
  struct Continuation {
    Extension extension;
    float score = 0;        // The sum of log-probabilities.
    bool complete = false;  // It must not be continued.
  };

  void step(MatrixView<const float> logits) override;
  std::optional<RankingRequest> rank() override;
  bool step_ranked(std::span<const RankedRow> ranked) override;
  void show_ranked(int64_t beam, std::span<const Candidate> ranked);
  void go_on();
  void score_rows(MatrixView<const float> logits);
  void take_best_continuations();
  bool order_is_arbitrary(std::span<const Candidate> best) const;
  void draw_continuations();
  void add_continuation(int64_t flat_index, float score);
  void add_candidate(float score);
  void finish_sequences();
  void choose_running();
  bool must_stop();
  void settle();

  std::span<float> row_scores(int64_t row);
  // A sum of log-probabilities over `generated` tokens, made comparable with those over other numbers of tokens.
  float penalised(float score, int64_t generated) const;

  const int64_t num_continuations_;
  const ScoreRows score_rows_;
  LogitsRules rules_;
  RunningSequences running_;
  std::vector<float> running_scores_;
  std::vector<Place> places_;  // num_beams, best first.
  bool improvable_ = true;     // Once false, nothing gets a place any more.
  std::vector<int32_t> settled_;

  // Of one step.
  std::vector<float> scores_;            // [rows, vocabulary]
  std::vector<TokenRules> found_rules_;  // Of each row, where rows are ranked.
  std::vector<RowRules> row_rules_;
  TopCandidates top_;
  std::vector<Continuation> continuations_;
  std::vector<Candidate> candidates_;
  std::vector<Place> next_places_;
  std::vector<Extension> extensions_;
};

BeamSearch::BeamSearch(std::shared_ptr<const GenerationPlan> plan, std::span<const int32_t> encoder_ids)
    : Search(plan),
      // So many that num_beams are left to go on with if all others end.
      num_continuations_(plan->num_beams * std::max<int64_t>(2, 1 + static_cast<int64_t>(plan->eos_token_id.size()))),
      rules_(plan, encoder_ids),
      running_(plan->num_beams, plan->longest, plan->decoder_start_token_id),
      running_scores_(static_cast<size_t>(plan->num_beams), kLosing),
      places_(static_cast<size_t>(plan->num_beams)),
      settled_{plan->decoder_start_token_id},
      next_places_(places_.size()) {
  for (Place& place : places_) place.ids = {plan->decoder_start_token_id};
  // All beams are the same at first; only the first one's continuations shall be taken.
  running_scores_[0] = 0.0f;
}

std::span<float> BeamSearch::row_scores(int64_t row) {
  const auto vocabulary = static_cast<size_t>(plan().vocabulary);
  return std::span(scores_).subspan(static_cast<size_t>(row) * vocabulary, vocabulary);
}

float BeamSearch::penalised(float score, int64_t generated) const {
  return score / static_cast<float>(std::pow(static_cast<double>(generated), plan().length_penalty));
}

void BeamSearch::step(MatrixView<const float> logits) {
  score_rows(logits);
  continuations_.clear();
  if (plan().do_sample) {
    draw_continuations();
  } else {
    take_best_continuations();
  }
  go_on();
}

void BeamSearch::go_on() {
  finish_sequences();
  choose_running();
  running_.extend(extensions_);
  const bool stop = must_stop();
  settle();
  if (stop) {
    extensions_.clear();
    running_.extend(extensions_);
    settled_ = places_.front().ids;
  }
}

// Log-probabilities after the rules, a row for all beams that share it.
void BeamSearch::score_rows(MatrixView<const float> logits) {
  scores_.resize(static_cast<size_t>(logits.rows * logits.cols));
  for (int64_t row = 0; row < logits.rows; ++row) {
    const std::span<float> scores = row_scores(row);
    const std::span<const float> given(logits.row(row), scores.size());
    if (plan().remove_invalid_values) {
      score_rows_.log_softmax_or_nan(given, scores);
    } else {
      score_rows_.log_softmax(given, scores);
    }
    rules_.process(scores, running_.ids(running_.sequence_of(row)));
    if (plan().do_sample) rules_.warp(scores);
    if (plan().renormalize_logits && scores[static_cast<size_t>(score_rows_.argmax(scores))] != -INFINITY) {
      score_rows_.log_softmax(scores, scores);
    }
  }
}

// An index counts through beams and, within a beam, tokens.
void BeamSearch::add_continuation(int64_t flat_index, float score) {
  const auto token = static_cast<int32_t>(flat_index % plan().vocabulary);
  continuations_.push_back(
      {.extension = {.parent = static_cast<int32_t>(flat_index / plan().vocabulary), .token = token},
       .score = score,
       .complete = is_complete(token, running_.length() + 1)});
}

void BeamSearch::take_best_continuations() {
  const auto num_wanted = static_cast<size_t>(num_continuations_);
  top_.reset(num_continuations_ + 1);  // One more, to see whether the last one has equals.
  for (int64_t beam = 0; beam < running_.count(); ++beam) {
    top_.scan(row_scores(running_.row_of(beam)), running_scores_[static_cast<size_t>(beam)], beam * plan().vocabulary);
  }
  const auto best = top_.best();
  if (order_is_arbitrary(best)) {
    candidates_.clear();
    for (int64_t beam = 0; beam < running_.count(); ++beam) {
      for (const float score : row_scores(running_.row_of(beam))) {
        candidates_.push_back({.score = score + running_scores_[static_cast<size_t>(beam)],
                               .index = static_cast<int64_t>(candidates_.size())});
      }
    }
    select_as_torch_topk(candidates_, num_continuations_);
  } else {
    candidates_.assign(best.begin(), best.end());
  }
  for (size_t i = 0; i < num_wanted; ++i) add_continuation(candidates_[i].index, candidates_[i].score);
}

// Of as many of each row as are needed of all beams: those that are left out come after these in every beam.
std::optional<RankingRequest> BeamSearch::rank() {
  const int64_t k = std::min(num_continuations_ + 1, plan().vocabulary);
  if (plan().do_sample || plan().needs_whole_rows() || k > kMostRanked) return std::nullopt;
  const size_t num_rows = rows().size();
  if (found_rules_.size() < num_rows) found_rules_.resize(num_rows);
  row_rules_.clear();
  for (size_t row = 0; row < num_rows; ++row) {
    TokenRules& found = found_rules_[row];
    rules_.find(running_.ids(running_.sequence_of(static_cast<int64_t>(row))), found);
    row_rules_.push_back(found.view());
  }
  return RankingRequest{.k = k, .rules_come_first = false, .rows = row_rules_};
}

bool BeamSearch::step_ranked(std::span<const RankedRow> ranked) {
  top_.reset(num_continuations_ + 1);
  for (int64_t beam = 0; beam < running_.count(); ++beam) {
    show_ranked(beam, ranked[static_cast<size_t>(running_.row_of(beam))].best);
  }
  const auto best = top_.best();
  if (order_is_arbitrary(best)) return false;
  continuations_.clear();
  for (const Candidate& candidate : best.first(static_cast<size_t>(num_continuations_))) {
    add_continuation(candidate.index, candidate.score);
  }
  go_on();
  return true;
}

// Shows top_ what may be among the best of take_best_continuations(), equals in its order. Those are tokens of
// -infinity in rising order, of which the first beam has enough: while a search goes on its score is finite.
void BeamSearch::show_ranked(int64_t beam, std::span<const Candidate> ranked) {
  const float running = running_scores_[static_cast<size_t>(beam)];
  const int64_t base = beam * plan().vocabulary;
  const TokenRules& rules = found_rules_[static_cast<size_t>(running_.row_of(beam))];
  if (!rules.is_forced) {
    for (const Candidate& candidate : ranked) {
      top_.add({.score = candidate.score + running, .index = base + candidate.index});
    }
    return;
  }
  for (const int32_t token : rules.forced) top_.add({.score = 0.0f + running, .index = base + token});
  const int64_t enough = std::min(num_continuations_ + 1 + std::ssize(rules.forced), plan().vocabulary);
  for (int64_t token = 0; token < enough; ++token) {
    if (std::ranges::binary_search(rules.forced, token)) continue;
    top_.add({.score = -INFINITY, .index = base + token});
  }
}

// Whether there are equals that are not the same sequence; those at -infinity have no future.
bool BeamSearch::order_is_arbitrary(std::span<const Candidate> best) const {
  const int64_t vocabulary = plan().vocabulary;
  for (size_t i = 1; i < best.size(); ++i) {
    const Candidate &a = best[i - 1], &b = best[i];
    if (a.score != b.score || a.score == -INFINITY) continue;
    const bool same = a.index % vocabulary == b.index % vocabulary &&
                      running_.row_of(a.index / vocabulary) == running_.row_of(b.index / vocabulary);
    if (!same) return true;
  }
  return false;
}

// Without replacement, each in proportion to its probability among those left: the greatest of log p + g, where the g
// are independent and Gumbel distributed, are such a draw in its order (Vieira 2014; Kool et al. 2019). Where fewer
// can be drawn than are needed (transformers then takes arbitrary ones), impossible ones follow, which never win.
void BeamSearch::draw_continuations() {
  const int64_t vocabulary = plan().vocabulary;
  const auto seed = static_cast<uint64_t>(plan().seed);
  const auto score_at = [&](int64_t index) {
    const int64_t beam = index / vocabulary;
    return row_scores(running_.row_of(beam))[static_cast<size_t>(index % vocabulary)] +
           running_scores_[static_cast<size_t>(beam)];
  };
  top_.reset(num_continuations_);
  const int64_t count = running_.count() * vocabulary;
  for (int64_t index = 0; index < count; ++index) {
    const float score = score_at(index);
    if (score == -INFINITY) continue;
    const double u = uniform(seed, 0, static_cast<uint32_t>(running_.length()), static_cast<uint64_t>(index));
    top_.add({.score = score - static_cast<float>(std::log(-std::log(u))), .index = index});
  }
  for (const Candidate& drawn : top_.best()) add_continuation(drawn.index, score_at(drawn.index));
  for (int64_t index = 0; static_cast<int64_t>(continuations_.size()) < num_continuations_; ++index) {
    if (score_at(index) == -INFINITY) add_continuation(index, -INFINITY);
  }
}

// Of the continuations that are complete, the first num_beams compete with those that have a place: the others are only
// there to go on with.
void BeamSearch::finish_sequences() {
  const size_t num_beams = places_.size();
  const bool satisfied =
      plan().early_stopping == EarlyStopping::kTrue && std::ranges::all_of(places_, &Place::finished);
  const int64_t generated = running_.length() + 1 - kPromptLength;
  candidates_.clear();
  for (const Place& place : places_) add_candidate(place.score);
  for (size_t i = 0; i < continuations_.size(); ++i) {
    float score = penalised(continuations_[i].score, generated);
    if (satisfied) score += kLosing;
    if (!improvable_) score += kLosing;
    if (!continuations_[i].complete || i >= num_beams) score += kLosing;
    add_candidate(score);
  }
  select_as_torch_topk(candidates_, static_cast<int64_t>(num_beams));
  for (size_t i = 0; i < num_beams; ++i) {
    const auto chosen = static_cast<size_t>(candidates_[i].index);
    Place& place = next_places_[i];
    if (chosen < num_beams) {
      std::swap(place, places_[chosen]);
      continue;
    }
    const Continuation& continuation = continuations_[chosen - num_beams];
    const auto ids = running_.ids(continuation.extension.parent);
    place.ids.assign(ids.begin(), ids.end());
    place.ids.push_back(continuation.extension.token);
    place.score = candidates_[i].score;
    place.finished = continuation.complete && chosen - num_beams < num_beams;
  }
  places_.swap(next_places_);
}

// The best continuations that can go on. Where all are complete, which ends the search, it does not matter which.
void BeamSearch::choose_running() {
  candidates_.clear();
  for (const Continuation& continuation : continuations_) {
    add_candidate(continuation.score + (continuation.complete ? kLosing : 0.0f));
  }
  select_as_torch_topk(candidates_, plan().num_beams);
  extensions_.clear();
  running_scores_.clear();
  for (const Candidate& chosen : std::span(candidates_).first(places_.size())) {
    extensions_.push_back(continuations_[static_cast<size_t>(chosen.index)].extension);
    running_scores_.push_back(chosen.score);
  }
}

void BeamSearch::add_candidate(float score) {
  candidates_.push_back({.score = score, .index = static_cast<int64_t>(candidates_.size())});
}

// transformers' _check_early_stop_heuristic and _beam_search_has_unfinished_sequences.
bool BeamSearch::must_stop() {
  const bool by_longest = plan().early_stopping == EarlyStopping::kNever && plan().length_penalty > 0;
  const int64_t length = by_longest ? plan().max_length : running_.length();
  const float best_possible = penalised(running_scores_[0], length - kPromptLength);
  const float worst = places_.back().score;
  improvable_ = improvable_ && std::ranges::any_of(places_, [&](const Place& place) {
                  return best_possible > (place.finished ? worst : kLosing);
                });

  const bool satisfied =
      plan().early_stopping == EarlyStopping::kTrue && std::ranges::all_of(places_, &Place::finished);
  const bool stuck = std::ranges::all_of(continuations_, &Continuation::complete);
  return !improvable_ || satisfied || stuck;
}

// The first result will be the best finished sequence of now or grow from one that is running.
void BeamSearch::settle() {
  std::span<const int32_t> common;
  const auto meet = [&](std::span<const int32_t> ids) {
    if (common.empty()) {
      common = ids;
    } else {
      const auto differ = std::ranges::mismatch(common, ids).in1;
      common = common.first(static_cast<size_t>(differ - common.begin()));
    }
  };
  if (places_.front().finished) meet(places_.front().ids);
  for (int64_t beam = 0; beam < running_.count(); ++beam) {
    if (running_scores_[static_cast<size_t>(beam)] > -INFINITY) meet(running_.ids(beam));
  }
  if (common.size() > settled_.size()) settled_.assign(common.begin(), common.end());
}

std::vector<Hypothesis> BeamSearch::results() const {
  const auto wanted = static_cast<size_t>(plan().num_return_sequences);
  std::vector<Hypothesis> results;
  for (const Place& place : std::span(places_).first(wanted)) {
    if (!place.finished && !finished()) continue;
    // Where the rules leave no way to end, the result is what was best when the search ended.
    results.push_back({.ids = place.ids, .score = static_cast<double>(place.score), .complete = true});
  }
  for (int64_t beam = 0; beam < running_.count() && results.size() < wanted; ++beam) {
    const auto ids = running_.ids(beam);
    const int64_t generated = std::max<int64_t>(1, running_.length() - kPromptLength);
    const float score = penalised(running_scores_[static_cast<size_t>(beam)], generated);
    results.push_back({.ids = {ids.begin(), ids.end()}, .score = static_cast<double>(score), .complete = false});
  }
  return results;
}

}  // namespace

std::unique_ptr<Search> make_beam_search(std::shared_ptr<const GenerationPlan> plan,
                                         std::span<const int32_t> encoder_ids) {
  return std::make_unique<BeamSearch>(std::move(plan), encoder_ids);
}

}  // namespace remuda
