// Attention of a decoder's step, one head at a time, written once over the vectors of simd_*.h: the newest position of
// each sequence against keys and values that were computed before.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/attention_impl.h"

namespace remuda::kernels {
namespace {

// n floats as `out` stores them; an element at a time, which compilers turn into vectors.
template <typename B>
void store_narrow(const float* x, int64_t n, typename B::Element* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = B::narrow(x[i]);
}

template <typename V, typename B>
void pack_head_as(const PackedHead& head) {
  auto* keys = static_cast<typename B::Element*>(head.keys);
  auto* values = static_cast<typename B::Element*>(head.values);
  for (int64_t first = 0; first < head.length; first += V::kWidth, keys += V::kWidth * head.head_dim) {
    pack_key_panel<V>(head.k, head.k_stride, head.length, head.head_dim, first, head.scratch);
    store_narrow<B>(head.scratch, V::kWidth * head.head_dim, keys);
  }
  const int64_t padded_dim = HeadKeys<V, B>{.length = head.length, .head_dim = head.head_dim}.padded_dim();
  for (int64_t s = 0; s < head.length; ++s, values += padded_dim) {
    store_narrow<B>(head.v + s * head.v_stride, head.head_dim, values);
    for (int64_t c = head.head_dim; c < padded_dim; ++c) values[c] = B::narrow(0.0f);
  }
}

template <typename V>
void pack_head(const PackedHead& head) {
  if (head.stored == StoredAs::kFp32) return pack_head_as<V, StoredFp32<V>>(head);
  pack_head_as<V, StoredBf16<V>>(head);
}

template <typename V, typename B>
void attend_packed_as(const PackedAttention& a) {
  attend<V>({.q = a.q,
             .out = a.out,
             .q_stride = a.q_stride,
             .out_stride = a.out_stride,
             .count = a.count,
             .head_dim = a.head_dim,
             .scale = a.scale,
             .bias = nullptr},
            HeadKeys<V, B>{.length = a.length,
                           .head_dim = a.head_dim,
                           .keys = static_cast<const typename B::Element*>(a.keys),
                           .values = static_cast<const typename B::Element*>(a.values),
                           .scores = a.scratch});
}

template <typename V>
void attend_packed(const PackedAttention& a) {
  if (a.stored == StoredAs::kFp32) return attend_packed_as<V, StoredFp32<V>>(a);
  attend_packed_as<V, StoredBf16<V>>(a);
}

// scores[s] = scale * q . keys[rows[s]].
template <typename V, typename B>
void score_cached(const CachedAttention& a) {
  const auto* keys = static_cast<const typename B::Element*>(a.keys);
  const int64_t whole = a.head_dim / V::kWidth * V::kWidth;
  const int rest = static_cast<int>(a.head_dim - whole);
  for (int64_t s = 0; s < a.length; ++s) {
    const auto* key = keys + a.rows[s] * a.stride;
    V sum = V::zero();
    for (int64_t c = 0; c < whole; c += V::kWidth) sum = fma(V::load(a.q + c), B::load(key + c), sum);
    if (rest > 0) sum = fma(V::load(a.q + whole, rest), B::load(key + whole, rest), sum);
    a.scratch[s] = sum.sum() * a.scale;
  }
}

// kColumns vectors of the output, or the first `count` elements of one.
template <typename V, typename B, int kColumns>
void weigh_cached(const CachedAttention& a, int64_t column, float factor, int count) {
  const auto* values = static_cast<const typename B::Element*>(a.values) + column;
  V sums[kColumns];
#pragma GCC unroll 4
  for (int n = 0; n < kColumns; ++n) sums[n] = V::zero();
  for (int64_t s = 0; s < a.length; ++s) {
    const auto* value = values + a.rows[s] * a.stride;
    const V weight = V::set(a.scratch[s]);
    if (count < V::kWidth) {
      sums[0] = fma(weight, B::load(value, count), sums[0]);
      continue;
    }
#pragma GCC unroll 4
    for (int n = 0; n < kColumns; ++n) sums[n] = fma(weight, B::load(value + n * V::kWidth), sums[n]);
  }
  for (int n = 0; n < kColumns; ++n) (sums[n] * V::set(factor)).store(a.out + column + n * V::kWidth, count);
}

template <typename V, typename B>
void attend_cached_as(const CachedAttention& a) {
  score_cached<V, B>(a);
  const HeadQueries query{.q = a.q,
                          .out = a.out,
                          .q_stride = 0,
                          .out_stride = 0,
                          .count = 1,
                          .head_dim = a.head_dim,
                          .scale = a.scale,
                          .bias = nullptr};
  float factor;
  softmax<V, 1>(query, HeadKeys<V, B>{.length = a.length, .head_dim = a.head_dim, .scores = a.scratch}, 0, &factor);
  int64_t c = 0;
  for (; c + 4 * V::kWidth <= a.head_dim; c += 4 * V::kWidth) weigh_cached<V, B, 4>(a, c, factor, V::kWidth);
  for (; c < a.head_dim; c += V::kWidth) {
    const int64_t left = a.head_dim - c;
    weigh_cached<V, B, 1>(a, c, factor, left < V::kWidth ? static_cast<int>(left) : V::kWidth);
  }
}

template <typename V>
void attend_cached(const CachedAttention& a) {
  if (a.stored == StoredAs::kFp32) return attend_cached_as<V, StoredFp32<V>>(a);
  attend_cached_as<V, StoredBf16<V>>(a);
}

inline void narrow_to_bf16(const float* x, int64_t n, uint16_t* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = float_to_bf16(x[i]);
}

}  // namespace
}  // namespace remuda::kernels
