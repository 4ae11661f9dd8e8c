// The rules that transformers calls logits processors and warpers. A processor names tokens: by what a sequence is,
// some are penalized, forbidden or forced. They are found as lists, which are applied to a row of scores (float, one a
// token of the vocabulary) here, or where else the row is. A warper changes a row as a whole. `ids` is the sequence so
// far, start token included. Forbidden tokens get -infinity. All are plain functions; LogitsRules has those of a plan
// in transformers' order (generation/utils.py, _get_logits_processor, 5.23).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "generation/options.h"
#include "generation/ranking.h"
#include "generation/scores.h"

namespace remuda {

// Adds the tokens that would complete an n-gram of `size` tokens which `source` has already; with ids for source, what
// no_repeat_ngram_size forbids, with the document's tokens, what encoder_no_repeat_ngram_size does. size >= 1.
void find_ngram_ends(std::span<const int32_t> ids, std::span<const int32_t> source, int64_t size, TokenIds& found);

// Adds the last token of each word whose other tokens are the last ones of `ids`.
void find_word_ends(std::span<const int32_t> ids, std::span<const TokenIds> words, TokenIds& found);

// Divides positive scores of `tokens` by `penalty` and multiplies negative ones (Keskar et al. 2019, section 4.1).
// Each token stands there once.
void penalize_tokens(std::span<float> scores, std::span<const int32_t> tokens, float penalty);

void forbid_tokens(std::span<float> scores, std::span<const int32_t> tokens);

// Forbids all but `tokens`, whose score becomes 0.
void force_tokens(std::span<float> scores, std::span<const int32_t> tokens);

// NaN becomes 0, an infinity the greatest or the least float.
void remove_invalid_values(std::span<float> scores);

void scale_by_temperature(std::span<float> scores, float temperature);

// Forbids what is less than the k-th greatest score; equals of it stay. 0 < k; more than the vocabulary is as much.
void keep_top_k(std::span<float> scores, int64_t k, TopCandidates& top, std::vector<float>& scratch);

// Keeps the fewest tokens, most probable first, whose probabilities reach `p`, and at least `min_tokens` (Holtzman et
// al. 2020, "nucleus sampling"). Among equals the one with the greater id goes first, as in transformers, which sorts
// upwards.
void keep_top_p(std::span<float> scores, double p, int64_t min_tokens, std::vector<Candidate>& scratch);

// What the rules say of a sequence's next token, in tokens of the vocabulary.
struct TokenRules {
  TokenIds penalized;  // Each once.
  float penalty = 1.0f;
  TokenIds forbidden;  // After penalties; some more than once.
  // Where is_forced, only these are left, with scores of 0, and the lists above are empty. In rising order, each once;
  // none where what is forced is forbidden, too.
  bool is_forced = false;
  TokenIds forced;

  RowRules view() const { return {.penalized = penalized, .penalty = penalty, .forbidden = forbidden}; }
};

// The rules of one search. Not thread-safe: it has scratch memory. Allocates in the first calls only.
class LogitsRules {
 public:
  // `encoder_ids`: the document's tokens, as the encoder sees them.
  LogitsRules(std::shared_ptr<const GenerationPlan> plan, std::span<const int32_t> encoder_ids);

  // Everything but sampling's.
  void find(std::span<const int32_t> ids, TokenRules& rules);
  // The same, applied: on log-probabilities in beam search, on logits otherwise.
  void process(std::span<float> scores, std::span<const int32_t> ids);
  // Temperature, top_k, top_p; after process, and only where tokens are drawn. Throws Error(kInvalidArgument) where the
  // temperature makes scores infinite.
  void warp(std::span<float> scores);

 private:
  // The tokens that a sequence of this length must go on with; none where any may come.
  std::span<const int32_t> forced(int64_t length) const;
  void add_once(std::span<const int32_t> ids, TokenIds& tokens);
  void add_forbidden(std::span<const int32_t> ids, TokenIds& tokens) const;
  void add_suppressed(int64_t length, TokenIds& tokens) const;

  std::shared_ptr<const GenerationPlan> plan_;
  std::vector<int32_t> encoder_ids_;
  TokenIds encoder_tokens_;     // Each once; empty where no rule needs them.
  int64_t begin_length_;        // The length at which begin_suppress_tokens holds.
  std::vector<uint64_t> seen_;  // A bit for each token; none is set between calls.
  TokenRules rules_;
  TopCandidates top_;
  std::vector<float> floats_;
  std::vector<Candidate> candidates_;
};

}  // namespace remuda
