// From token vectors to vectors of sequences, as one thread of a GPU sees it; nn/pooling.h says what each mode is.
#pragma once

#include <cstdint>

#include "kernels/cuda/element.h"
#include "kernels/cuda/geometry.h"
#include "kernels/cuda/rowwise_body.h"

namespace remuda::kernels::cuda {

// As nn::Pooling, in the same order.
enum class PoolingMode : int32_t { kCls, kMax, kMean, kMeanSqrtLen, kWeightedMean, kLastToken };

template <class Element>
struct PoolParams {
  const Element* x = nullptr;        // [offsets[sequences], columns]
  const int32_t* offsets = nullptr;  // [sequences + 1], rising strictly
  const int32_t* skipped = nullptr;  // [sequences]: tokens of a prompt that is left out; or nullptr
  PoolingMode mode = PoolingMode::kMean;
  float* out = nullptr;  // [sequences, out_stride], of which [sequences, columns] is written
  int64_t out_stride = 0;
  int64_t sequences = 0;
  int columns = 0;
};

// A thread a column, a row of blocks a sequence.
inline constexpr int kPoolThreads = 128;
REMUDA_HOST_DEVICE constexpr int pool_blocks_per_sequence(int columns) {
  return static_cast<int>(divide_up(columns, kPoolThreads));
}
inline Launch launch_of_pool(int64_t sequences, int columns) {
  return {.blocks = sequences * pool_blocks_per_sequence(columns), .threads = kPoolThreads};
}

template <class Thread, class Element>
REMUDA_HOST_DEVICE float pooled_value(Thread& thread, PoolingMode mode, const Element* column, int64_t stride,
                                      int length, int skipped) {
  constexpr float kMinDivisor = 1e-9f;
  const bool none_left = skipped >= length;
  switch (mode) {
    case PoolingMode::kCls:
      return to_float(column[none_left ? 0 : skipped * stride]);
    case PoolingMode::kLastToken:
      return none_left ? 0.0f : to_float(column[(length - 1) * stride]);
    case PoolingMode::kMax: {
      float maximum = -thread.infinity();
      for (int t = skipped; t < length; ++t) {
        const float x = to_float(column[t * stride]);
        maximum = maximum < x ? x : maximum;
      }
      return maximum;
    }
    default:
      break;
  }
  float sum = 0.0f;
  float weights = 0.0f;
  for (int t = skipped; t < length; ++t) {
    const float weight = mode == PoolingMode::kWeightedMean ? static_cast<float>(t + 1) : 1.0f;
    sum += weight * to_float(column[t * stride]);
    weights += weight;
  }
  weights = weights < kMinDivisor ? kMinDivisor : weights;
  return sum / (mode == PoolingMode::kMeanSqrtLen ? thread.square_root(weights) : weights);
}

template <class Thread, class Element>
REMUDA_HOST_DEVICE void pool_body(Thread& thread, const PoolParams<Element>& p) {
  const int per_sequence = pool_blocks_per_sequence(p.columns);
  const int64_t sequence = thread.block() / per_sequence;
  const int column = static_cast<int>(thread.block() % per_sequence) * kPoolThreads + thread.index();
  if (column >= p.columns) return;
  const int first = p.offsets[sequence];
  p.out[sequence * p.out_stride + column] =
      pooled_value(thread, p.mode, p.x + int64_t{first} * p.columns + column, int64_t{p.columns},
                   p.offsets[sequence + 1] - first, p.skipped == nullptr ? 0 : p.skipped[sequence]);
}

// x = x / max(|x|, 1e-12) for each row, in place.
struct NormalizeParams {
  float* x = nullptr;  // [rows, columns]
  int64_t rows = 0;
  int columns = 0;
};
template <class Thread>
REMUDA_HOST_DEVICE void normalize_body(Thread& thread, const NormalizeParams& p) {
  constexpr float kMinNorm = 1e-12f;
  const int64_t r = row_of_warp(thread);
  if (r >= p.rows) return;
  float* row = p.x + r * p.columns;
  double squares = 0.0;
  for (int i = thread.index() % kWarpSize; i < p.columns; i += kWarpSize) {
    squares += static_cast<double>(row[i]) * static_cast<double>(row[i]);
  }
  const float norm = static_cast<float>(thread.square_root(warp_sum(thread, squares)));
  const float divisor = norm < kMinNorm ? kMinNorm : norm;
  for (int i = thread.index() % kWarpSize; i < p.columns; i += kWarpSize) row[i] /= divisor;
}

}  // namespace remuda::kernels::cuda
