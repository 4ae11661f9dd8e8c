// What a search can go on with in place of whole rows of logits: the best tokens of each, chosen where the logits are.
#pragma once

#include <cstdint>
#include <span>

#include "generation/scores.h"

namespace remuda {

// What changes the scores of a row, in this order. Tokens are of the vocabulary.
struct RowRules {
  // Each once: a score below 0 is multiplied by `penalty`, another divided.
  std::span<const int32_t> penalized;
  float penalty = 1.0f;
  // Their scores become -infinity. A token may stand there more than once.
  std::span<const int32_t> forbidden;
};

// How a row is ranked. Log-probabilities are as LogSoftmax has them.
struct RowRanking {
  RowRules rules;
  // False: scores are log-probabilities of the row, changed by the rules. True: the rules change the logits, log p is
  // of what comes out, and so are scores; tokens are compared by the changed logits, of which fewer are equal.
  bool rules_come_first = false;
};

// What is to be ranked of a search's rows.
struct RankingRequest {
  int64_t k = 0;  // 1 to the vocabulary's size.
  bool rules_come_first = false;
  std::span<const RowRules> rows;  // One a row of the search.
};

// The k best tokens of a row with their scores, greatest first, among equals the least token first; tokens of -infinity
// follow where there are no others. `index` is the token. A row that no token can be chosen by, having a NaN or
// +infinity or nothing but -infinity, has scores that are NaN, and any tokens.
struct RankedRow {
  std::span<const Candidate> best;
};

}  // namespace remuda
