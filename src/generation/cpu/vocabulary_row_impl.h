// The passes of vocabulary_row.h as templates over the vectors of kernels/cpu/simd_*.h. Sums run over a fixed number
// of lanes in a fixed order, so a row's result is the same bits whatever stands beside it.
#pragma once

#include <cstdint>

#include "generation/cpu/vocabulary_row.h"
#include "kernels/cpu/simd_math.h"

namespace remuda {
namespace {

// Vectors that are handled together: enough to hide the latency of an operation behind others.
constexpr int kBlock = 8;

template <typename V>
float row_max(const float* x, int64_t n) {
  V best[4];
  for (V& b : best) b = V::set(x[0]);
  int64_t i = 0;
  for (; i + 4 * V::kWidth <= n; i += 4 * V::kWidth) {
    for (int j = 0; j < 4; ++j) best[j] = max(best[j], V::load(x + i + j * V::kWidth));
  }
  float result = max(max(best[0], best[1]), max(best[2], best[3])).max_element();
  for (; i < n; ++i) result = x[i] > result ? x[i] : result;
  return result;
}

template <typename V>
float row_sum_exp(const float* x, int64_t n, float maximum) {
  const V shift = V::set(maximum);
  V sum[4] = {V::zero(), V::zero(), V::zero(), V::zero()};
  int64_t i = 0;
  for (; i + 4 * V::kWidth <= n; i += 4 * V::kWidth) {
    for (int j = 0; j < 4; ++j) sum[j] = sum[j] + kernels::vexp(V::load(x + i + j * V::kWidth) - shift);
  }
  for (; i < n; i += V::kWidth) {
    const int count = n - i < V::kWidth ? static_cast<int>(n - i) : V::kWidth;
    sum[0] = sum[0] + V::first(kernels::vexp(V::load(x + i, count) - shift), count, 0.0f);
  }
  return ((sum[0] + sum[1]) + (sum[2] + sum[3])).sum();
}

template <typename V>
void row_shift(const float* x, int64_t n, float maximum, float log_sum, float* out) {
  const V first = V::set(maximum), second = V::set(log_sum);
  int64_t i = 0;
  for (; i + V::kWidth <= n; i += V::kWidth) ((V::load(x + i) - first) - second).store(out + i);
  if (i < n) {
    const int count = static_cast<int>(n - i);
    ((V::load(x + i, count) - first) - second).store(out + i, count);
  }
}

template <typename V>
int64_t row_find_above(const float* x, int64_t begin, int64_t n, float offset, float threshold) {
  constexpr int64_t kStep = int64_t{kBlock} * V::kWidth;
  int64_t i = begin;
  for (; i + kStep <= n; i += kStep) {
    V a = V::load(x + i), b = V::load(x + i + V::kWidth);
    for (int j = 2; j < kBlock; j += 2) {
      a = max(a, V::load(x + i + j * V::kWidth));
      b = max(b, V::load(x + i + (j + 1) * V::kWidth));
    }
    // Rounding is monotone, so the sum of the greatest is the greatest sum.
    if (max(a, b).max_element() + offset > threshold) break;
  }
  for (; i < n; ++i) {
    if (x[i] + offset > threshold) return i;
  }
  return n;
}

template <typename V>
constexpr VocabularyRowKernels vocabulary_row_kernels() {
  return {.max = row_max<V>, .sum_exp = row_sum_exp<V>, .shift = row_shift<V>, .find_above = row_find_above<V>};
}

}  // namespace
}  // namespace remuda
