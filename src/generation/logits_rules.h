// The rules that transformers calls logits processors and warpers: each takes the row of scores for a sequence's next
// token (float, one a token of the vocabulary) and changes it in place. `ids` is the sequence so far, start token
// included. Forbidden tokens get -infinity. All are plain functions; LogitsRules applies those of a plan in
// transformers' order (generation/utils.py, _get_logits_processor, 5.23).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "generation/options.h"
#include "generation/scores.h"

namespace remuda {

// Divides positive scores of the tokens of `ids` by `penalty` and multiplies negative ones, once for each token
// (Keskar et al. 2019, section 4.1). `scratch` is memory that the function may use.
void penalize_repetition(std::span<float> scores, std::span<const int32_t> ids, float penalty,
                         std::vector<float>& scratch);

// Forbids the tokens that would complete an n-gram of `size` tokens which `source` has already; with ids for source,
// what no_repeat_ngram_size does, with the document's tokens, what encoder_no_repeat_ngram_size does. size >= 1.
void forbid_ngrams(std::span<float> scores, std::span<const int32_t> ids, std::span<const int32_t> source,
                   int64_t size);

// Forbids the last token of each word whose other tokens are the last ones of `ids`.
void forbid_words(std::span<float> scores, std::span<const int32_t> ids, std::span<const TokenIds> words);

void forbid_tokens(std::span<float> scores, std::span<const int32_t> tokens);

// Forbids all but `tokens`, whose score becomes 0.
void force_tokens(std::span<float> scores, std::span<const int32_t> tokens);

void scale_by_temperature(std::span<float> scores, float temperature);

// Forbids what is less than the k-th greatest score; equals of it stay. 0 < k; more than the vocabulary is as much.
void keep_top_k(std::span<float> scores, int64_t k, TopCandidates& top, std::vector<float>& scratch);

// Keeps the fewest tokens, most probable first, whose probabilities reach `p`, and at least `min_tokens` (Holtzman et
// al. 2020, "nucleus sampling"). Among equals the one with the greater id goes first, as in transformers, which sorts
// upwards.
void keep_top_p(std::span<float> scores, double p, int64_t min_tokens, std::vector<Candidate>& scratch);

// The rules of one search. Not thread-safe: it has scratch memory. Allocates in the first calls only.
class LogitsRules {
 public:
  // `encoder_ids`: the document's tokens, as the encoder sees them.
  LogitsRules(std::shared_ptr<const GenerationPlan> plan, std::span<const int32_t> encoder_ids);

  // Everything but sampling's: on log-probabilities in beam search, on logits otherwise.
  void process(std::span<float> scores, std::span<const int32_t> ids);
  // Temperature, top_k, top_p; after process, and only where tokens are drawn.
  void warp(std::span<float> scores);

 private:
  std::shared_ptr<const GenerationPlan> plan_;
  std::vector<int32_t> encoder_ids_;
  int64_t begin_length_;  // The length at which begin_suppress_tokens holds.
  TopCandidates top_;
  std::vector<float> floats_;
  std::vector<Candidate> candidates_;
};

}  // namespace remuda
