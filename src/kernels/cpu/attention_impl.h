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
#include "kernels/cpu/stored_floats.h"

namespace remuda::kernels {
namespace {

constexpr int kShortRows = 4;  // Queries at a time for sequences shorter than V::kRows.

// c = a b for `rows` x (columns vectors): a[r][i] is a scalar, b + i * b_step + n * b_next the n-th vector of row i.
// B is how b is stored, and how it is multiplied.
template <typename B>
struct BlockProduct {
  const typename B::Scalar* a = nullptr;
  int64_t a_stride = 0;
  const typename B::Element* b;
  int64_t b_step;
  int64_t b_next;
  int64_t inner;  // Groups of B::kGroup.
};

// store(r, n, sum) is called for every row and column. It should capture by value: a store through a pointer to vectors
// may, for all the compiler knows, change anything that is captured by reference.
template <typename V, int kRows, int kColumns, typename B, typename Store>
[[gnu::always_inline]] inline void block_product(const BlockProduct<B>& p, Store store) {
  V sums[kRows][kColumns];
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int n = 0; n < kColumns; ++n) sums[r][n] = V::zero();
  }
  const typename B::Element* b = p.b;
  for (int64_t i = 0; i < p.inner; ++i, b += p.b_step) {
    typename B::Operand columns[kColumns];
#pragma GCC unroll 4
    for (int n = 0; n < kColumns; ++n) columns[n] = B::load(b + n * p.b_next);
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      const typename B::Operand a = B::broadcast(p.a + r * p.a_stride + i);
#pragma GCC unroll 4
      for (int n = 0; n < kColumns; ++n) sums[r][n] = B::multiply_add(a, columns[n], sums[r][n]);
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int n = 0; n < kColumns; ++n) store(r, n, sums[r][n]);
  }
}

// Queries of one head against its keys: a block of them at a time.
struct HeadQueries {
  const float* q;
  float* out;
  int64_t q_stride;
  int64_t out_stride;
  int64_t count;
  int64_t head_dim;
  float scale;
  const float* bias;  // bias[s - t] is added to the score of key s for query t; nullptr for none.
};

constexpr int64_t divide_up(int64_t value, int64_t divisor) { return (value + divisor - 1) / divisor; }

// The keys and values of one head as the products take them, and room for the scores of a block of queries. B is how
// they are stored.
template <typename V, typename B>
struct HeadKeys {
  int64_t length;
  int64_t head_dim;
  const typename B::Element* keys = nullptr;    // [panels()][dim_groups()][V::kWidth]
  const typename B::Element* values = nullptr;  // [key_groups()][padded_dim()]
  float* scores = nullptr;                      // [kRows][panels() * V::kWidth]
  typename B::Scalar* queries = nullptr;        // [kRows][dim_groups()], where B::kGroup > 1.

  // Vectors that hold all keys.
  int64_t panels() const { return divide_up(length, V::kWidth); }
  // head_dim, up to whole vectors.
  int64_t padded_dim() const { return divide_up(head_dim, V::kWidth) * V::kWidth; }
  int64_t score_stride() const { return panels() * V::kWidth; }
  // What the products have as their inner index.
  int64_t dim_groups() const { return divide_up(head_dim, B::kGroup); }
  int64_t key_groups() const { return divide_up(length, B::kGroup); }
};

// Keys [first, first + V::kWidth) as a panel of floats; those past the end are zeros.
template <typename V>
void pack_key_panel(const float* k, int64_t stride, int64_t length, int64_t head_dim, int64_t first, float* panel) {
  const int64_t left = length - first;
  const int count = left < V::kWidth ? static_cast<int>(left) : V::kWidth;
  V::transpose(k + first * stride, stride, count, head_dim, panel);
}

template <typename V>
void pack_keys(const AttentionHead& head, float* to) {
  for (int64_t first = 0; first < head.length; first += V::kWidth, to += V::kWidth * head.head_dim) {
    pack_key_panel<V>(head.k, head.k_stride, head.length, head.head_dim, first, to);
  }
}

template <typename V>
void pack_values(const AttentionHead& head, int64_t padded_dim, float* to) {
  for (int64_t s = 0; s < head.length; ++s, to += padded_dim) {
    const float* from = head.v + s * head.v_stride;
    int64_t c = 0;
    for (; c + V::kWidth <= head.head_dim; c += V::kWidth) V::load(from + c).store(to + c);
    if (c < head.head_dim) V::load(from + c, static_cast<int>(head.head_dim - c)).store(to + c);
  }
}

// scores[r][s] = scale * q[t + r] . k[s], for all keys.
template <typename V, int kRows, typename B>
inline void compute_scores(const HeadQueries& head, const HeadKeys<V, B>& keys, int64_t t) {
  BlockProduct<B> product{
      .b = keys.keys, .b_step = V::kWidth, .b_next = V::kWidth * keys.dim_groups(), .inner = keys.dim_groups()};
  const float* queries = head.q + t * head.q_stride;
  if constexpr (B::kGroup == 1) {
    product.a = queries;
    product.a_stride = head.q_stride;
  } else {
    product.a = keys.queries;
    product.a_stride = keys.dim_groups();
    for (int r = 0; r < kRows; ++r) {
      B::group(queries + r * head.q_stride, head.head_dim, keys.queries + r * product.a_stride);
    }
  }
  float* scores = keys.scores;
  const auto store_to = [scale = V::set(head.scale), stride = keys.score_stride()](float* to) {
    return [=](int r, int n, V sum) { (sum * scale).store(to + r * stride + n * V::kWidth); };
  };
  int64_t left = keys.panels();
  for (; left >= V::kColumns; left -= V::kColumns) {
    block_product<V, kRows, V::kColumns>(product, store_to(scores));
    product.b += V::kColumns * product.b_next;
    scores += V::kColumns * V::kWidth;
  }
  for (; left > 0; --left) {
    block_product<V, kRows, 1>(product, store_to(scores));
    product.b += product.b_next;
    scores += V::kWidth;
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
template <typename V, int kRows, typename B>
inline void softmax(const HeadQueries& head, const HeadKeys<V, B>& keys, int64_t t, float* factors) {
  constexpr int64_t kWidth = V::kWidth;
  const int64_t last = (keys.length - 1) / kWidth * kWidth;  // The last vector, which may be a partial one.
  const int rest = static_cast<int>(keys.length - last);
  float maximum[kRows];
  for (int r = 0; r < kRows; ++r) {
    float* scores = keys.scores + r * keys.score_stride();
    if (head.bias != nullptr) add_bias<V>(scores, head.bias - (t + r), last, rest);
    V maxima = V::first(V::load(scores + last), rest, -__builtin_inff());
    for (int64_t s = 0; s < last; s += kWidth) maxima = max(maxima, V::load(scores + s));
    maximum[r] = maxima.max_element();
  }
  V sums[kRows];
  for (int r = 0; r < kRows; ++r) {
    float* scores = keys.scores + r * keys.score_stride();
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

// out[t + r] = factors[r] * scores[r] V.
template <typename V, int kRows, typename B>
inline void weigh_values(const HeadQueries& head, const HeadKeys<V, B>& keys, int64_t t, const float* factors) {
  if constexpr (B::kGroup > 1) {  // In place: groups take less room.
    for (int r = 0; r < kRows; ++r) {
      float* row = keys.scores + r * keys.score_stride();
      B::group(row, keys.score_stride(), reinterpret_cast<typename B::Scalar*>(row));
    }
  }
  BlockProduct<B> product{.a = reinterpret_cast<const typename B::Scalar*>(keys.scores),
                          .a_stride = keys.score_stride(),
                          .b = keys.values,
                          .b_step = keys.padded_dim(),
                          .b_next = V::kWidth,
                          .inner = keys.key_groups()};
  float* out = head.out + t * head.out_stride;
  const auto store_to = [stride = head.out_stride, factors](float* to) {
    return [=](int r, int n, V sum) { (sum * V::set(factors[r])).store(to + r * stride + n * V::kWidth); };
  };
  int64_t left = head.head_dim;
  for (; left >= V::kColumns * V::kWidth; left -= V::kColumns * V::kWidth) {
    block_product<V, kRows, V::kColumns>(product, store_to(out));
    product.b += V::kColumns * V::kWidth;
    out += V::kColumns * V::kWidth;
  }
  for (; left >= V::kWidth; left -= V::kWidth) {
    block_product<V, kRows, 1>(product, store_to(out));
    product.b += V::kWidth;
    out += V::kWidth;
  }
  if (left == 0) return;
  block_product<V, kRows, 1>(product, [out, factors, stride = head.out_stride, left](int r, int, V sum) {
    (sum * V::set(factors[r])).store(out + r * stride, static_cast<int>(left));
  });
}

template <typename V, int kRows, typename B>
void attend_queries(const HeadQueries& head, const HeadKeys<V, B>& keys, int64_t t) {
  compute_scores<V, kRows>(head, keys, t);
  float factors[kRows];
  softmax<V, kRows>(head, keys, t, factors);
  weigh_values<V, kRows>(head, keys, t, factors);
}

// The last block ends with the last query, and so may repeat some of the block before: the same queries give the same
// bits, and a full block costs less than the narrow ones that would take its place.
template <typename V, int kRows, typename B>
void attend_in_blocks(const HeadQueries& head, const HeadKeys<V, B>& keys) {
  const int64_t last = head.count - kRows;
  for (int64_t t = 0; t < last; t += kRows) attend_queries<V, kRows>(head, keys, t);
  attend_queries<V, kRows>(head, keys, last);
}

template <typename V, typename B>
void attend(const HeadQueries& head, const HeadKeys<V, B>& keys) {
  static_assert(V::kRows <= kMaxQueryRows && V::kWidth <= kMaxVectorWidth);
  if (head.count >= V::kRows) {
    attend_in_blocks<V, V::kRows>(head, keys);
  } else if (head.count >= kShortRows) {
    attend_in_blocks<V, kShortRows>(head, keys);
  } else {
    attend_in_blocks<V, 1>(head, keys);
  }
}

inline HeadQueries queries_of(const AttentionHead& head) {
  return {.q = head.q,
          .out = head.out,
          .q_stride = head.q_stride,
          .out_stride = head.out_stride,
          .count = head.length,
          .head_dim = head.head_dim,
          .scale = head.scale,
          .bias = head.bias};
}

template <typename V>
void attention_head(const AttentionHead& head) {
  HeadKeys<V, StoredFp32<V>> keys{.length = head.length, .head_dim = head.head_dim, .keys = head.scratch};
  float* values = head.scratch + keys.panels() * V::kWidth * head.head_dim;
  keys.values = values;
  keys.scores = values + head.length * keys.padded_dim();
  pack_keys<V>(head, head.scratch);
  pack_values<V>(head, keys.padded_dim(), values);
  attend<V>(queries_of(head), keys);
}

}  // namespace
}  // namespace remuda::kernels
