// The best tokens of rows of logits, on a GPU, as one thread sees it: what a search asks of a step, so that rows need
// not go to the host.
//
// `Thread` is the machine: DeviceThread on a GPU, HostThread in the tests. A row's result depends on that row alone,
// bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/geometry.h"
#include "kernels/cuda/rowwise_body.h"

namespace remuda::kernels::cuda {

// What changes a row's scores: first the penalized tokens' (one below 0 is multiplied by the penalty, another divided),
// then the forbidden ones', which become minus infinity. Lists are places in `tokens` of the parameters; a token may be
// in both, and be forbidden twice, not penalized twice.
struct RankingRules {
  int32_t penalized = 0;
  int32_t num_penalized = 0;
  int32_t forbidden = 0;
  int32_t num_forbidden = 0;
  float penalty = 1.0f;
  // 0: the scores are log p of the logits, and rules change those. 1: rules change logits, log p is of what comes out,
  // and tokens are compared by that, which rounds to fewer equals than log p.
  int32_t rules_come_first = 0;
};

// log p = (x - max) - log_sum, as generation/scores.h has it. The k best of a row are those of the greatest scores,
// greatest first, the least token first among equals; of minus infinity where there are no others. A row that no token
// can be chosen by, having a NaN, an infinity or nothing but minus infinity, has scores that are all NaN, and tokens
// -1.
struct RankingParams {
  const float* logits = nullptr;  // [rows, vocabulary], of rows logits_stride apart, a multiple of 4
  int64_t logits_stride = 0;
  int64_t rows = 0;
  int vocabulary = 0;
  int k = 0;                            // 1 to vocabulary.
  const RankingRules* rules = nullptr;  // [rows]
  const int32_t* tokens = nullptr;      // In the vocabulary.
  float* scores = nullptr;              // [rows, k]
  int32_t* best = nullptr;              // [rows, k], tokens
};

// A token and its score.
struct TokenScore {
  float score;
  int32_t token;
};

inline constexpr int kRankingThreads = 512;
// Tokens that may be among the best and are compared with each other. What a block has more of is found one by one.
inline constexpr int kRankingCandidates = 2048;

// In a block's shared memory.
struct RankingShared {
  static constexpr int kWarps = kRankingThreads / kWarpSize;

  // A place a warp, twice, since the second may be written before the first has been read.
  TokenScore exchanged[2][kWarps];
  TokenScore thread_best[kRankingThreads];
  TokenScore candidates[kRankingCandidates];
  TokenScore least;  // Of those that may be among the best.
  int32_t num_candidates;
  int32_t reserved;
  // Behind it: a bit for each token that is penalized, then one for each that is forbidden.

  REMUDA_HOST_DEVICE uint32_t* bits() { return reinterpret_cast<uint32_t*>(this + 1); }
};
REMUDA_HOST_DEVICE constexpr int words_of_bits(int vocabulary) { return (vocabulary + 31) / 32; }

inline Launch launch_of_ranking(int64_t rows, int vocabulary) {
  const int bits = 2 * words_of_bits(vocabulary) * static_cast<int>(sizeof(uint32_t));
  return {.blocks = rows, .threads = kRankingThreads, .shared_bytes = static_cast<int>(sizeof(RankingShared)) + bits};
}

// A block has a row. It reads it four times: for the maximum, for the sum, for the best token of each thread, and for
// all tokens that are no worse than the k-th best of those, which are a few more than k. A thread's tokens are vectors
// of four.
template <class Thread>
class RankingBody {
 public:
  REMUDA_HOST_DEVICE RankingBody(Thread& thread, const RankingParams& params)
      : thread_(thread),
        p_(params),
        row_(params.logits + thread.block() * params.logits_stride),
        rules_(params.rules[thread.block()]),
        shared_(*reinterpret_cast<RankingShared*>(thread.shared())),
        penalized_(shared_.bits()),
        forbidden_(penalized_ + words_of_bits(params.vocabulary)) {}

  REMUDA_HOST_DEVICE void run() {
    spread_rules();
    if (!normalize()) {
      for (int i = thread_.index(); i < p_.k; i += kRankingThreads) write(i, {log_sum_ - log_sum_, -1});
      return;
    }
    find_candidates();
    if (shared_.num_candidates > kRankingCandidates) return rank_one_by_one();
    const int count = shared_.num_candidates;
    for (int i = thread_.index(); i < count; i += kRankingThreads) {
      const TokenScore each = shared_.candidates[i];
      int before = 0;
      for (int other = 0; other < count; ++other) before += is_before(shared_.candidates[other], each) ? 1 : 0;
      if (before < p_.k) write(before, each);
    }
  }

 private:
  static constexpr int32_t kNone = 0x7fffffff;  // No token, which comes after all.

  REMUDA_HOST_DEVICE static bool is_before(const TokenScore& a, const TokenScore& b) {
    if (b.token == kNone || a.token == kNone) return b.token == kNone && a.token != kNone;
    return a.score > b.score || (a.score == b.score && a.token < b.token);
  }
  REMUDA_HOST_DEVICE static bool is_in(const uint32_t* bits, int token) {
    return ((bits[token / 32] >> (token % 32)) & 1u) != 0;
  }

  REMUDA_HOST_DEVICE void spread_rules() {
    const int words = 2 * words_of_bits(p_.vocabulary);
    for (int i = thread_.index(); i < words; i += kRankingThreads) penalized_[i] = 0;
    if (thread_.index() == 0) shared_.num_candidates = 0;
    thread_.sync();
    set(p_.tokens + rules_.penalized, rules_.num_penalized, penalized_);
    set(p_.tokens + rules_.forbidden, rules_.num_forbidden, forbidden_);
    thread_.sync();
  }
  REMUDA_HOST_DEVICE void set(const int32_t* tokens, int count, uint32_t* bits) {
    for (int i = thread_.index(); i < count; i += kRankingThreads) {
      thread_.set_bits(bits + tokens[i] / 32, uint32_t{1} << (tokens[i] % 32));
    }
  }

  REMUDA_HOST_DEVICE float ruled(float score, int token) const {
    if (is_in(penalized_, token)) score = score < 0.0f ? score * rules_.penalty : score / rules_.penalty;
    return is_in(forbidden_, token) ? -thread_.infinity() : score;
  }
  REMUDA_HOST_DEVICE float log_probability(float logit) const { return (logit - maximum_) - log_sum_; }
  // What log p is of.
  REMUDA_HOST_DEVICE float logit(float x, int token) const {
    return rules_.rules_come_first != 0 ? ruled(x, token) : x;
  }
  // What tokens are compared by.
  REMUDA_HOST_DEVICE float score(float x, int token) const {
    return rules_.rules_come_first != 0 ? ruled(x, token) : ruled(log_probability(x), token);
  }

  // Calls visit(logit, token) for each of this thread's tokens, the least first.
  template <class Visit>
  REMUDA_HOST_DEVICE void for_each_token(Visit visit) const {
    for (int first = thread_.index() * kRowVector; first < p_.vocabulary; first += kRankingThreads * kRowVector) {
      const Vector<float, kRowVector> vector = load_vector(row_ + first);
      REMUDA_UNROLL
      for (int i = 0; i < kRowVector; ++i) {
        if (first + i < p_.vocabulary) visit(vector.at[i], first + i);
      }
    }
  }

  // Finds maximum_ and log_sum_. False where that is no number, in all threads.
  REMUDA_HOST_DEVICE bool normalize() {
    float maximum = -thread_.infinity();
    for_each_token([&](float x, int token) { maximum = thread_.maximum(maximum, logit(x, token)); });
    maximum = warp_maximum(thread_, maximum);
    const TokenScore* places = exchange({maximum, 0});
    for (int warp = 0; warp < RankingShared::kWarps; ++warp) maximum = thread_.maximum(maximum, places[warp].score);
    maximum_ = maximum;
    float sum = 0.0f;
    for_each_token([&](float x, int token) { sum += thread_.exp(logit(x, token) - maximum); });
    places = exchange({warp_sum(thread_, sum), 0});
    float all = 0.0f;
    for (int warp = 0; warp < RankingShared::kWarps; ++warp) all += places[warp].score;
    log_sum_ = thread_.log(all);
    return log_sum_ - log_sum_ == 0.0f;
  }

  REMUDA_HOST_DEVICE TokenScore best_after(const TokenScore& last) const {
    TokenScore best = {-thread_.infinity(), kNone};
    for_each_token([&](float x, int token) {
      const TokenScore each = {score(x, token), token};
      const bool is_after = last.token < 0 || is_before(last, each);
      if (is_after && is_before(each, best)) best = each;
    });
    return best;
  }

  // The k-th best of the threads' best tokens is a token that k are no worse than, itself among them; so are the k
  // best.
  REMUDA_HOST_DEVICE void find_candidates() {
    const TokenScore own = best_after({0.0f, -1});
    shared_.thread_best[thread_.index()] = own;
    if (thread_.index() == 0) shared_.least = {0.0f, kNone};
    thread_.sync();
    int before = 0;
    for (int other = 0; other < kRankingThreads; ++other) before += is_before(shared_.thread_best[other], own) ? 1 : 0;
    if (before == p_.k - 1 && own.token != kNone) shared_.least = own;
    thread_.sync();
    const TokenScore least = shared_.least;
    for_each_token([&](float x, int token) {
      const TokenScore each = {score(x, token), token};
      if (is_before(least, each)) return;
      const int32_t place = thread_.add(&shared_.num_candidates, 1);
      if (place < kRankingCandidates) shared_.candidates[place] = each;
    });
    thread_.sync();
  }

  // Each is the best of those that come after the one before.
  REMUDA_HOST_DEVICE void rank_one_by_one() {
    TokenScore last = {0.0f, -1};
    for (int i = 0; i < p_.k; ++i) {
      last = best_of_block(best_after(last));
      if (thread_.index() == 0) write(i, last);
    }
  }
  REMUDA_HOST_DEVICE TokenScore best_of_block(TokenScore best) {
    REMUDA_UNROLL
    for (int mask = kWarpSize / 2; mask > 0; mask /= 2) {
      const TokenScore other = {thread_.shuffle_xor(best.score, mask), thread_.shuffle_xor(best.token, mask)};
      if (is_before(other, best)) best = other;
    }
    const TokenScore* const places = exchange(best);
    best = places[0];
    for (int warp = 1; warp < RankingShared::kWarps; ++warp) {
      if (is_before(places[warp], best)) best = places[warp];
    }
    return best;
  }

  REMUDA_HOST_DEVICE void write(int place, const TokenScore& each) {
    const int64_t at = thread_.block() * p_.k + place;
    p_.scores[at] = rules_.rules_come_first != 0 ? log_probability(each.score) : each.score;
    p_.best[at] = each.token;
  }

  // A value of each warp, to all threads. What was written two exchanges ago has been read by all: they have met in
  // between.
  REMUDA_HOST_DEVICE const TokenScore* exchange(const TokenScore& of_warp) {
    half_ = 1 - half_;
    TokenScore* const places = shared_.exchanged[half_];
    if (thread_.index() % kWarpSize == 0) places[thread_.index() / kWarpSize] = of_warp;
    thread_.sync();
    return places;
  }

  Thread& thread_;
  const RankingParams& p_;
  const float* const row_;
  const RankingRules rules_;
  RankingShared& shared_;
  uint32_t* const penalized_;
  uint32_t* const forbidden_;

  float maximum_ = 0.0f;
  float log_sum_ = 0.0f;
  int half_ = 0;
};

}  // namespace remuda::kernels::cuda
