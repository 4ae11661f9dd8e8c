// One head of attention over one sequence, written once over the vectors of simd_*.h.
//
// Two small matrix products around a softmax, for a block of kRows queries at a time:
//
//   scores[kRows, T] = Q K^T     vectors run along the keys, so K is transposed once into panels of a vector's width
//   out[kRows, d]    = P V       vectors run along the head's dimensions; V is copied once, since its rows lie a
//                                multiple of many cache lines apart, where a few sets of the L1 cache would hold all
//
// Both are the same register-blocked product: kRows x kColumns vectors of sums, each a chain of fused multiply-adds in
// rising order of the inner index. So every score and every output is computed in one order, whatever block it is in.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/rowwise.h"
#include "kernels/cpu/simd_math.h"

namespace remuda::kernels {
namespace {

constexpr int kShortRows = 4;  // Queries at a time for sequences shorter than V::kRows.

// c = a b for `rows` x (columns vectors): a[r][i] is a scalar, b + i * b_step + n * b_next the n-th vector of row i.
struct BlockProduct {
  const float* a;
  int64_t a_stride;
  const float* b;
  int64_t b_step;
  int64_t b_next;
  int64_t inner;
};

template <typename V, int kRows, int kColumns, typename Store>
inline void block_product(const BlockProduct& p, Store store) {
  V sums[kRows][kColumns];
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int n = 0; n < kColumns; ++n) sums[r][n] = V::zero();
  }
  const float* b = p.b;
  for (int64_t i = 0; i < p.inner; ++i, b += p.b_step) {
    V columns[kColumns];
#pragma GCC unroll 4
    for (int n = 0; n < kColumns; ++n) columns[n] = V::load(b + n * p.b_next);
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      const V a = V::set(p.a[r * p.a_stride + i]);
#pragma GCC unroll 4
      for (int n = 0; n < kColumns; ++n) sums[r][n] = fma(a, columns[n], sums[r][n]);
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int n = 0; n < kColumns; ++n) store(r, n, sums[r][n]);
  }
}

// What the blocks of one head share.
template <typename V>
struct HeadScratch {
  int64_t panels;      // Vectors that hold all keys.
  int64_t padded_dim;  // head_dim, up to whole vectors.
  float* keys;         // [panels][head_dim][V::kWidth]
  float* values;       // [length][padded_dim]
  float* scores;       // [kRows][panels * V::kWidth]
  int64_t score_stride;

  explicit HeadScratch(const AttentionHead& head)
      : panels((head.length + V::kWidth - 1) / V::kWidth),
        padded_dim((head.head_dim + V::kWidth - 1) / V::kWidth * V::kWidth),
        keys(head.scratch),
        values(keys + panels * V::kWidth * head.head_dim),
        scores(values + head.length * padded_dim),
        score_stride(panels * V::kWidth) {}
};

template <typename V>
void pack_keys(const AttentionHead& head, const HeadScratch<V>& scratch) {
  float* to = scratch.keys;
  for (int64_t panel = 0; panel < scratch.panels; ++panel) {
    const int64_t first = panel * V::kWidth;
    const int64_t left = head.length - first;
    const int count = left < V::kWidth ? static_cast<int>(left) : V::kWidth;
    V::transpose(head.k + first * head.k_stride, head.k_stride, count, head.head_dim, to);
    to += V::kWidth * head.head_dim;
  }
}

template <typename V>
void pack_values(const AttentionHead& head, const HeadScratch<V>& scratch) {
  for (int64_t s = 0; s < head.length; ++s) {
    const float* from = head.v + s * head.v_stride;
    float* to = scratch.values + s * scratch.padded_dim;
    int64_t c = 0;
    for (; c + V::kWidth <= head.head_dim; c += V::kWidth) V::load(from + c).store(to + c);
    if (c < head.head_dim) V::load(from + c, static_cast<int>(head.head_dim - c)).store(to + c);
  }
}

// scores[r][s] = scale * q[t + r] . k[s], for all keys.
template <typename V, int kRows>
inline void compute_scores(const AttentionHead& head, const HeadScratch<V>& scratch, int64_t t) {
  const V scale = V::set(head.scale);
  BlockProduct product{.a = head.q + t * head.q_stride,
                       .a_stride = head.q_stride,
                       .b = scratch.keys,
                       .b_step = V::kWidth,
                       .b_next = V::kWidth * head.head_dim,
                       .inner = head.head_dim};
  int64_t panel = 0;
  const auto store = [&](int r, int n, V sum) {
    (sum * scale).store(scratch.scores + r * scratch.score_stride + (panel + n) * V::kWidth);
  };
  for (; panel + V::kColumns <= scratch.panels; panel += V::kColumns) {
    block_product<V, kRows, V::kColumns>(product, store);
    product.b += V::kColumns * product.b_next;
  }
  for (; panel < scratch.panels; ++panel) {
    block_product<V, kRows, 1>(product, store);
    product.b += product.b_next;
  }
}

template <typename V>
inline void add_bias(float* scores, const float* bias, int64_t last, int rest) {
  for (int64_t s = 0; s < last; s += V::kWidth) (V::load(scores + s) + V::load(bias + s)).store(scores + s);
  (V::load(scores + last) + V::load(bias + last, rest)).store(scores + last);
}

// Turns rows of scores into exp(score - their maximum), and gives 1 / their sums. Keys past the end get weight 0. A
// score that is NaN, or +infinity, makes the row's sum NaN, and so the token's whole output.
//
// Three loops over the rows, so that the slow horizontal steps of one row overlap with those of the others.
template <typename V, int kRows>
inline void softmax(const AttentionHead& head, const HeadScratch<V>& scratch, int64_t t, float* factors) {
  constexpr int64_t kWidth = V::kWidth;
  const int64_t last = (head.length - 1) / kWidth * kWidth;  // The last vector, which may be a partial one.
  const int rest = static_cast<int>(head.length - last);
  float maximum[kRows];
  for (int r = 0; r < kRows; ++r) {
    float* scores = scratch.scores + r * scratch.score_stride;
    if (head.bias != nullptr) add_bias<V>(scores, head.bias - (t + r), last, rest);
    V maxima = V::first(V::load(scores + last), rest, -__builtin_inff());
    for (int64_t s = 0; s < last; s += kWidth) maxima = max(maxima, V::load(scores + s));
    maximum[r] = maxima.max_element();
  }
  V sums[kRows];
  for (int r = 0; r < kRows; ++r) {
    float* scores = scratch.scores + r * scratch.score_stride;
    const V shift = V::set(maximum[r]);
    V sum = vexp(V::first(V::load(scores + last), rest, -__builtin_inff()) - shift);
    sum.store(scores + last);
    for (int64_t s = 0; s < last; s += kWidth) {
      const V weight = vexp(V::load(scores + s) - shift);
      weight.store(scores + s);
      sum = sum + weight;
    }
    sums[r] = sum;
  }
  for (int r = 0; r < kRows; ++r) factors[r] = 1.0f / sums[r].sum();
}

template <typename V, int kRows>
inline void weigh_values(const AttentionHead& head, const HeadScratch<V>& scratch, int64_t t, const float* factors) {
  BlockProduct product{.a = scratch.scores,
                       .a_stride = scratch.score_stride,
                       .b = scratch.values,
                       .b_step = scratch.padded_dim,
                       .b_next = V::kWidth,
                       .inner = head.length};
  int64_t column = 0;
  const auto store = [&](int r, int n, V sum) {
    const int64_t c = column + n * V::kWidth;
    float* out = head.out + (t + r) * head.out_stride + c;
    const V value = sum * V::set(factors[r]);
    if (c + V::kWidth <= head.head_dim) {
      value.store(out);
    } else {
      value.store(out, static_cast<int>(head.head_dim - c));
    }
  };
  for (; column + V::kColumns * V::kWidth <= scratch.padded_dim; column += V::kColumns * V::kWidth) {
    block_product<V, kRows, V::kColumns>(product, store);
    product.b += V::kColumns * V::kWidth;
  }
  for (; column < scratch.padded_dim; column += V::kWidth) {
    block_product<V, kRows, 1>(product, store);
    product.b += V::kWidth;
  }
}

template <typename V, int kRows>
void attend_queries(const AttentionHead& head, const HeadScratch<V>& scratch, int64_t t) {
  compute_scores<V, kRows>(head, scratch, t);
  float factors[kRows];
  softmax<V, kRows>(head, scratch, t, factors);
  weigh_values<V, kRows>(head, scratch, t, factors);
}

// The last block ends with the last query, and so may repeat some of the block before: the same queries give the same
// bits, and a full block costs less than the narrow ones that would take its place.
template <typename V, int kRows>
void attend_in_blocks(const AttentionHead& head, const HeadScratch<V>& scratch) {
  const int64_t last = head.length - kRows;
  for (int64_t t = 0; t < last; t += kRows) attend_queries<V, kRows>(head, scratch, t);
  attend_queries<V, kRows>(head, scratch, last);
}

template <typename V>
void attention_head(const AttentionHead& head) {
  static_assert(V::kRows <= kMaxQueryRows && V::kWidth <= kMaxVectorWidth);
  const HeadScratch<V> scratch(head);
  pack_keys<V>(head, scratch);
  pack_values<V>(head, scratch);
  if (head.length >= V::kRows) {
    attend_in_blocks<V, V::kRows>(head, scratch);
  } else if (head.length >= kShortRows) {
    attend_in_blocks<V, kShortRows>(head, scratch);
  } else {
    attend_in_blocks<V, 1>(head, scratch);
  }
}

}  // namespace
}  // namespace remuda::kernels
