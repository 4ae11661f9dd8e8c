// The search for a document's output: a state machine that says which rows of logits it needs next and is given them.
// It knows no model. Whoever runs the model drives many searches at once, and so decodes many documents together:
//
//   while (!search->finished()) search->advance(logits_of(search->rows()));
//
// Where logits are computed far from the search, most steps can do without them:
//
//   const auto request = search->ranking();
//   if (!request || !search->advance(best_of(search->rows(), *request))) search->advance(logits_of(search->rows()));
//
// which finds the same, bit for bit where scores are computed alike.
// The results are those of transformers' `generate` (5.23) for the same options and logits.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "generation/options.h"
#include "generation/ranking.h"
#include "tensor/tensor.h"

namespace remuda {

// One row of the decoder's next step.
struct StepRow {
  int32_t token = 0;    // What to feed.
  int32_t parent = -1;  // The row of this search's previous step whose cache this one continues; -1 in the first step.

  friend bool operator==(const StepRow&, const StepRow&) = default;
};

struct Hypothesis {
  // As `generate` returns them: the start token first, the end token, where one was reached, last; no padding.
  TokenIds ids;
  // Beam search: the sum of the log-probabilities, after the rules, by the number of generated tokens to the power of
  // length_penalty (transformers' sequences_scores). Otherwise the sum of the log-probabilities of the tokens under the
  // distribution that they were chosen from.
  double score = 0;
  // It ends by an end token or at max_length. False: it was still growing when it was asked for.
  bool complete = false;

  friend bool operator==(const Hypothesis&, const Hypothesis&) = default;
};

// Sequences that are equal need one row between them: the first step has one, and so has the second where the first
// token is forced. A search does not depend on others, and not on what happens between its steps. Not thread-safe;
// different searches may be advanced at once. After the first steps `advance` allocates only for what has finished.
class Search {
 public:
  virtual ~Search() = default;
  Search(const Search&) = delete;
  Search& operator=(const Search&) = delete;

  // What to compute next; at most max(num_beams, num_return_sequences) rows. Empty when the search has finished. Valid
  // until advance.
  virtual std::span<const StepRow> rows() const = 0;
  bool finished() const { return rows().empty(); }

  // logits: [rows().size(), vocabulary], row i for rows()[i]. Throws Error(kInvalidArgument) where the shape is another
  // or the logits are not numbers; after an error the search must not be advanced again.
  void advance(MatrixView<const float> logits);

  // What of each row the search can probably go on with; nothing where it needs logits whatever they are: where tokens
  // are drawn. Valid until advance.
  std::optional<RankingRequest> ranking();

  // ranked: a row for each of rows(), as ranking() asked for it. False where it takes more than that to go on, or the
  // logits may not be numbers: then nothing has changed, and the step is to be advanced by its logits. Throws
  // Error(kInvalidArgument) for rows that are not what was asked for, or where nothing was.
  [[nodiscard]] bool advance(std::span<const RankedRow> ranked);

  // num_return_sequences of them, best first (drawn ones in the order of their numbers). Before the search has
  // finished, what there is: complete ones first, then those that are growing. Where the rules leave beam search fewer
  // continuations than that, the rest has scores about -1e9 and means nothing, as in transformers.
  virtual std::vector<Hypothesis> results() const = 0;

  // The tokens that the first result will begin with, whatever comes: what a stream may show. Start token included. It
  // only grows, and is all of the first result when the search has finished. With several sequences drawn (num_beams 1)
  // it is the first one's.
  virtual std::span<const int32_t> settled() const = 0;

  const GenerationPlan& plan() const { return *plan_; }

 protected:
  explicit Search(std::shared_ptr<const GenerationPlan> plan) : plan_(std::move(plan)) {}
  virtual void step(MatrixView<const float> logits) = 0;
  // A search that can be advanced by ranked rows has both: what to rank, and the step, as advance() has it.
  virtual std::optional<RankingRequest> rank() { return std::nullopt; }
  virtual bool step_ranked(std::span<const RankedRow>) { return false; }

  bool is_end(int32_t token) const;
  // Whether a sequence of `length` tokens whose last is `token` grows no more.
  bool is_complete(int32_t token, int64_t length) const { return is_end(token) || length >= plan_->longest; }

 private:
  std::shared_ptr<const GenerationPlan> plan_;
  int64_t ranked_k_ = 0;  // That was asked for in this step; 0 where nothing was.
};

// Greedy search, sampling, beam search or beam sampling, as the plan says. `encoder_ids`: the document's tokens as the
// encoder sees them, for encoder_no_repeat_ngram_size; they are copied. A plan may be shared by any number of searches.
std::unique_ptr<Search> make_search(std::shared_ptr<const GenerationPlan> plan, std::span<const int32_t> encoder_ids);

// The four of make_search, each in its file; it calls them.
std::unique_ptr<Search> make_greedy_search(std::shared_ptr<const GenerationPlan> plan,
                                           std::span<const int32_t> encoder_ids);
std::unique_ptr<Search> make_sampling(std::shared_ptr<const GenerationPlan> plan, std::span<const int32_t> encoder_ids);
std::unique_ptr<Search> make_beam_search(std::shared_ptr<const GenerationPlan> plan,
                                         std::span<const int32_t> encoder_ids);

}  // namespace remuda
