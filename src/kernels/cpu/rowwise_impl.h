// Layer normalisation, embedding lookup and activations, written once over the vectors of simd_*.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/rowwise.h"
#include "kernels/cpu/simd_math.h"

namespace remuda::kernels {
namespace {

// Calls f(column, count) for whole vectors (count = V::kWidth), then g(column, count) for the rest, if any.
template <typename V, typename Whole, typename Rest>
inline void for_each_vector(int64_t cols, Whole whole, Rest rest) {
  int64_t c = 0;
  for (; c + V::kWidth <= cols; c += V::kWidth) whole(c);
  if (c < cols) rest(c, static_cast<int>(cols - c));
}

// The sum of f(vector) over a row. Four sums run side by side to hide the latency of an addition; `rest` gets what
// does not fill a vector, and must return zeros for the missing elements.
template <typename V, typename Whole, typename Rest>
inline float sum_row(int64_t cols, Whole whole, Rest rest) {
  constexpr int64_t kWidth = V::kWidth;
  V s0 = V::zero(), s1 = V::zero(), s2 = V::zero(), s3 = V::zero();
  int64_t c = 0;
  for (; c + 4 * kWidth <= cols; c += 4 * kWidth) {
    s0 = s0 + whole(c);
    s1 = s1 + whole(c + kWidth);
    s2 = s2 + whole(c + 2 * kWidth);
    s3 = s3 + whole(c + 3 * kWidth);
  }
  for (; c + kWidth <= cols; c += kWidth) s0 = s0 + whole(c);
  if (c < cols) s1 = s1 + rest(c, static_cast<int>(cols - c));
  return ((s0 + s1) + (s2 + s3)).sum();
}

template <typename V>
void layer_norm_rows(const LayerNormRows& a) {
  const float count = static_cast<float>(a.cols);
  for (int64_t r = 0; r < a.rows; ++r) {
    const float* x = a.x + r * a.x_stride;
    float* y = a.y + r * a.y_stride;
    const float mean =
        sum_row<V>(
            a.cols, [x](int64_t c) { return V::load(x + c); }, [x](int64_t c, int n) { return V::load(x + c, n); }) /
        count;
    // Two passes: the mean of squares less the square of the mean would cancel.
    const V means = V::set(mean);
    const float variance = sum_row<V>(
                               a.cols,
                               [x, means](int64_t c) {
                                 const V d = V::load(x + c) - means;
                                 return d * d;
                               },
                               [x, means](int64_t c, int n) {
                                 const V d = V::load(x + c, n) - V::first(means, n, 0.0f);
                                 return d * d;
                               }) /
                           count;
    const V factor = V::set(1.0f / __builtin_sqrtf(variance + a.epsilon));
    const auto normalize = [=](V value, V gamma, V beta) { return fma((value - means) * factor, gamma, beta); };
    for_each_vector<V>(
        a.cols, [&](int64_t c) { normalize(V::load(x + c), V::load(a.gamma + c), V::load(a.beta + c)).store(y + c); },
        [&](int64_t c, int n) {
          normalize(V::load(x + c, n), V::load(a.gamma + c, n), V::load(a.beta + c, n)).store(y + c, n);
        });
  }
}

template <typename V, typename Whole, typename Rest>
inline void gather_rows_with(const GatheredRows& a, int64_t element_bytes, Whole load, Rest load_some) {
  const V scale = V::set(a.scale);
  for (int64_t r = 0; r < a.rows; ++r) {
    const std::byte* row = static_cast<const std::byte*>(a.table) + a.ids[r] * a.table_stride_bytes;
    float* y = a.y + r * a.y_stride;
    if (a.add) {
      for_each_vector<V>(
          a.cols, [&](int64_t c) { (V::load(y + c) + load(row + c * element_bytes)).store(y + c); },
          [&](int64_t c, int n) { (V::load(y + c, n) + load_some(row + c * element_bytes, n)).store(y + c, n); });
    } else {
      for_each_vector<V>(
          a.cols, [&](int64_t c) { (load(row + c * element_bytes) * scale).store(y + c); },
          [&](int64_t c, int n) { (load_some(row + c * element_bytes, n) * scale).store(y + c, n); });
    }
  }
}

template <typename V>
void gather(const GatheredRows& a) {
  switch (a.type) {
    case TableType::kF32:
      return gather_rows_with<V>(
          a, 4, [](const std::byte* p) { return V::load(reinterpret_cast<const float*>(p)); },
          [](const std::byte* p, int n) { return V::load(reinterpret_cast<const float*>(p), n); });
    case TableType::kF16:
      return gather_rows_with<V>(
          a, 2, [](const std::byte* p) { return V::load_f16(p); },
          [](const std::byte* p, int n) { return V::load_f16(p, n); });
    case TableType::kBF16:
      return gather_rows_with<V>(
          a, 2, [](const std::byte* p) { return V::load_bf16(p); },
          [](const std::byte* p, int n) { return V::load_bf16(p, n); });
  }
}

template <typename V, typename Function>
inline void map_in_place(float* x, int64_t n, Function f) {
  for_each_vector<V>(
      n, [&](int64_t c) { f(V::load(x + c)).store(x + c); },
      [&](int64_t c, int count) { f(V::load(x + c, count)).store(x + c, count); });
}

template <typename V>
void gelu(float* x, int64_t n) {
  map_in_place<V>(x, n, [](V v) { return vgelu(v); });
}
template <typename V>
void gelu_tanh(float* x, int64_t n) {
  map_in_place<V>(x, n, [](V v) { return vgelu_tanh(v); });
}
template <typename V>
void relu(float* x, int64_t n) {
  map_in_place<V>(x, n, [](V v) { return vrelu(v); });
}
template <typename V>
void tanh(float* x, int64_t n) {
  map_in_place<V>(x, n, [](V v) { return vtanh(v); });
}
template <typename V>
void gated_sigmoid(float* x, int64_t n, float slope) {
  map_in_place<V>(x, n, [slope](V v) { return vgated_sigmoid(v, slope); });
}
template <typename V>
void sigmoid(float* x, int64_t n) {
  map_in_place<V>(x, n, [](V v) { return vsigmoid(v); });
}
template <typename V>
void mish(float* x, int64_t n) {
  map_in_place<V>(x, n, [](V v) { return vmish(v); });
}

}  // namespace
}  // namespace remuda::kernels
