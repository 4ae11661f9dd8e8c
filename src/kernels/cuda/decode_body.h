// A decoder's step on a GPU, as one thread sees it: attention to what a cache holds, and what search asks of a row of
// logits. What the beams of a document share, attention_body.h does.
//
// `Thread` is the machine: DeviceThread on a GPU, HostThread in the tests. A row's result depends on that row and its
// own keys alone, bit for bit.
#pragma once

#include <cstdint>

#include "kernels/cuda/element.h"
#include "kernels/cuda/geometry.h"
#include "kernels/cuda/rowwise_body.h"

namespace remuda::kernels::cuda {

// One query a sequence; entry s of what it attends to is row tables[table_stride * sequence + s] of keys and values, as
// in nn/kv_cache.h.
template <class Element>
struct CachedAttentionParams {
  const Element* q = nullptr;  // [sequences, num_heads * head_dim]
  int64_t q_stride = 0;
  const Element* keys = nullptr;  // [log, num_heads * head_dim], dense
  const Element* values = nullptr;
  const int32_t* tables = nullptr;   // [sequences, table_stride]
  const int32_t* lengths = nullptr;  // [sequences], at least 1
  int64_t table_stride = 0;
  Element* out = nullptr;  // [sequences, num_heads * head_dim], of rows out_stride elements apart
  int64_t out_stride = 0;
  int64_t sequences = 0;
  int num_heads = 0;
  int head_dim = 0;  // Up to kMaxCachedHeadDim.
  float scale = 1.0f;
};

inline constexpr int kMaxCachedHeadDim = 128;

inline Launch launch_of_cached_attention(int64_t sequences, int num_heads) {
  return launch_of_rows(sequences * num_heads);
}

// A warp has a query of a head. A lane has a key of every 32 while it scores, and columns of the output while it sums.
template <class Element, class Thread>
class CachedAttentionBody {
 public:
  REMUDA_HOST_DEVICE CachedAttentionBody(Thread& thread, const CachedAttentionParams<Element>& params)
      : thread_(thread),
        p_(params),
        sequence_(row_of_warp(thread) / params.num_heads),
        first_column_(static_cast<int>(row_of_warp(thread) % params.num_heads) * params.head_dim),
        lane_(thread.index() % kWarpSize) {}

  REMUDA_HOST_DEVICE void run() {
    if (sequence_ >= p_.sequences) return;
    const int length = p_.lengths[sequence_];
    for (int first = 0; first < length; first += kWarpSize) attend(first, length);
    Element* out = p_.out + sequence_ * p_.out_stride + first_column_;
    REMUDA_UNROLL
    for (int c = 0; c < kColumns; ++c) {
      const int within = c * kWarpSize + lane_;
      if (within < p_.head_dim) out[within] = from_float<Element>(o_[c] / sum_);
    }
  }

 private:
  static constexpr int kColumns = kMaxCachedHeadDim / kWarpSize;

  REMUDA_HOST_DEVICE int64_t log_row(int position) const { return p_.tables[sequence_ * p_.table_stride + position]; }
  REMUDA_HOST_DEVICE int64_t log_element(int64_t row) const { return row * p_.num_heads * p_.head_dim + first_column_; }

  REMUDA_HOST_DEVICE float score(int position) const {
    const Element* q = p_.q + sequence_ * p_.q_stride + first_column_;
    const Element* k = p_.keys + log_element(log_row(position));
    float sum = 0.0f;
    int d = 0;
    // A lane reads its key by itself, so as much at once as there is; keys begin where such a read may.
    constexpr int kWidth = kChunkBytes / static_cast<int>(sizeof(Element));
    if (p_.head_dim % kWidth == 0) {
      for (; d < p_.head_dim; d += kWidth) {
        const auto vector = *reinterpret_cast<const Vector<Element, kWidth>*>(k + d);
        REMUDA_UNROLL
        for (int i = 0; i < kWidth; ++i) sum += to_float(q[d + i]) * to_float(vector.at[i]);
      }
    }
    for (; d < p_.head_dim; ++d) sum += to_float(q[d]) * to_float(k[d]);
    return sum * p_.scale;
  }

  REMUDA_HOST_DEVICE void attend(int first, int length) {
    const bool there = first + lane_ < length;
    const float value = there ? score(first + lane_) : -thread_.infinity();
    float maximum = value;
    REMUDA_UNROLL
    for (int mask = kWarpSize / 2; mask > 0; mask /= 2) {
      maximum = thread_.maximum(maximum, thread_.shuffle_xor(maximum, mask));
    }
    maximum = thread_.maximum(maximum, maximum_);
    const float base = maximum == -thread_.infinity() ? 0.0f : maximum;
    const float correction = thread_.exp(maximum_ - base);
    const float weight = thread_.exp(value - base);
    maximum_ = maximum;
    sum_ = sum_ * correction + warp_sum(thread_, weight);
    REMUDA_UNROLL
    for (int c = 0; c < kColumns; ++c) o_[c] *= correction;
    const int keys = length - first < kWarpSize ? length - first : kWarpSize;
    for (int i = 0; i < keys; ++i) {
      const float w = thread_.shuffle(weight, i);
      const Element* v = p_.values + log_element(log_row(first + i));
      REMUDA_UNROLL
      for (int c = 0; c < kColumns; ++c) {
        const int within = c * kWarpSize + lane_;
        if (within < p_.head_dim) o_[c] += w * to_float(v[within]);
      }
    }
  }

  Thread& thread_;
  const CachedAttentionParams<Element>& p_;
  const int64_t sequence_;
  const int first_column_;
  const int lane_;

  float o_[kColumns] = {};
  float maximum_ = -thread_.infinity();
  float sum_ = 0.0f;
};

// For each row of logits: log p = (x - max) - log_sum, as generation/scores.h has it, and the k tokens of the greatest
// log p, greatest first, the first among equals.
struct TopTokensParams {
  const float* logits = nullptr;  // [rows, vocabulary], dense
  int64_t rows = 0;
  int vocabulary = 0;
  int k = 0;                  // 1 to vocabulary.
  float* scores = nullptr;    // [rows, k]
  int32_t* tokens = nullptr;  // [rows, k]
};

inline constexpr int kTopThreads = 256;
inline Launch launch_of_top_tokens(int64_t rows) {
  // A place a warp for a value and its token, twice, since the second may begin before the first has been read.
  constexpr int kBytes = 2 * (kTopThreads / kWarpSize) * static_cast<int>(sizeof(float) + sizeof(int32_t));
  return {.blocks = rows, .threads = kTopThreads, .shared_bytes = kBytes};
}

// A token and its logit.
struct TokenScore {
  float logit;
  int32_t token;
};

template <class Thread>
class TopTokensBody {
 public:
  REMUDA_HOST_DEVICE TopTokensBody(Thread& thread, const TopTokensParams& params)
      : thread_(thread),
        p_(params),
        row_(params.logits + thread.block() * params.vocabulary),
        shared_(reinterpret_cast<TokenScore*>(thread.shared())) {}

  // The k greatest one after the other: each is the greatest of those that come after the one before.
  REMUDA_HOST_DEVICE void run() {
    TokenScore last = {thread_.infinity(), -1};
    float log_sum = 0.0f;
    float maximum = 0.0f;
    for (int i = 0; i < p_.k; ++i) {
      const TokenScore best = greatest(greatest_after(last));
      if (i == 0) {
        maximum = best.logit;
        log_sum = log_of_sum(maximum);
      }
      if (thread_.index() == 0) {
        p_.scores[thread_.block() * p_.k + i] = (best.logit - maximum) - log_sum;
        p_.tokens[thread_.block() * p_.k + i] = best.token == kNone ? -1 : best.token;
      }
      last = best;
    }
  }

 private:
  static constexpr int kWarps = kTopThreads / kWarpSize;
  static constexpr int32_t kNone = 0x7fffffff;

  REMUDA_HOST_DEVICE static bool is_before(const TokenScore& a, const TokenScore& b) {
    if (b.token == kNone || a.token == kNone) return b.token == kNone && a.token != kNone;
    return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
  }

  REMUDA_HOST_DEVICE TokenScore greatest_after(const TokenScore& last) const {
    TokenScore best = {-thread_.infinity(), kNone};
    for (int token = thread_.index(); token < p_.vocabulary; token += kTopThreads) {
      const TokenScore each = {row_[token], token};
      const bool is_after = last.token < 0 || is_before(last, each);
      if (is_after && is_before(each, best)) best = each;
    }
    return best;
  }

  // Of all the block's threads, to all of them.
  REMUDA_HOST_DEVICE TokenScore greatest(TokenScore best) {
    REMUDA_UNROLL
    for (int mask = kWarpSize / 2; mask > 0; mask /= 2) {
      const TokenScore other = {thread_.shuffle_xor(best.logit, mask), thread_.shuffle_xor(best.token, mask)};
      if (is_before(other, best)) best = other;
    }
    TokenScore* const places = next_places();
    if (thread_.index() % kWarpSize == 0) places[thread_.index() / kWarpSize] = best;
    thread_.sync();
    best = places[0];
    for (int warp = 1; warp < kWarps; ++warp) {
      if (is_before(places[warp], best)) best = places[warp];
    }
    return best;
  }

  REMUDA_HOST_DEVICE float log_of_sum(float maximum) {
    float sum = 0.0f;
    for (int token = thread_.index(); token < p_.vocabulary; token += kTopThreads) {
      sum += thread_.exp(row_[token] - maximum);
    }
    sum = warp_sum(thread_, sum);
    TokenScore* const places = next_places();
    if (thread_.index() % kWarpSize == 0) places[thread_.index() / kWarpSize].logit = sum;
    thread_.sync();
    float all = 0.0f;
    for (int warp = 0; warp < kWarps; ++warp) all += places[warp].logit;
    return thread_.log(all);
  }

  // What was written two exchanges ago has been read by all: they have met in between.
  REMUDA_HOST_DEVICE TokenScore* next_places() {
    half_ = 1 - half_;
    return shared_ + half_ * kWarps;
  }

  Thread& thread_;
  const TopTokensParams& p_;
  const float* const row_;
  TokenScore* const shared_;
  int half_ = 0;
};

}  // namespace remuda::kernels::cuda
