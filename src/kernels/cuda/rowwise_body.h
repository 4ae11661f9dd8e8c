// Row-wise kernels of a GPU, as one thread sees them: embeddings, layer normalisation, activations, pooling.
//
// `Thread` is the machine: DeviceThread on a GPU, HostThread in the tests. Every row's arithmetic is independent of the
// other rows and of how many there are, bit for bit: a warp, or a thread a column, walks it in an order that depends on
// its length alone.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/activation.h"
#include "kernels/cuda/element.h"
#include "kernels/cuda/geometry.h"

namespace remuda::kernels::cuda {

// Elements of a row that a lane holds side by side; rows are a multiple of it.
inline constexpr int kRowVector = 4;
// The longest row that the kernels of `steps` hold in registers.
constexpr int64_t columns_of_steps(int steps) { return int64_t{steps} * kWarpSize * kRowVector; }
inline constexpr int kMaxRowSteps = 32;

// The sum and the maximum over a warp's lanes, in all of them the same bits.
template <class Thread, class Number>
REMUDA_HOST_DEVICE Number warp_sum(Thread& thread, Number value) {
  REMUDA_UNROLL
  for (int mask = kWarpSize / 2; mask > 0; mask /= 2) value += thread.shuffle_xor(value, mask);
  return value;
}

template <class Thread>
REMUDA_HOST_DEVICE float warp_maximum(Thread& thread, float value) {
  REMUDA_UNROLL
  for (int mask = kWarpSize / 2; mask > 0; mask /= 2) value = thread.maximum(value, thread.shuffle_xor(value, mask));
  return value;
}

// A row in the registers of a warp: lane l has columns [(step * 32 + l) * 4, + 4).
template <int steps>
struct WarpRow {
  float at[steps][kRowVector];
};

template <class Thread>
REMUDA_HOST_DEVICE int64_t row_of_warp(Thread& thread) {
  return thread.block() * kRowWarps + thread.index() / kWarpSize;
}

// Calls visit(step, column) for each vector of a row that is this lane's.
template <int steps, class Thread, class Visit>
REMUDA_HOST_DEVICE void for_each_vector(Thread& thread, int columns, Visit visit) {
  const int lane = thread.index() % kWarpSize;
  REMUDA_UNROLL
  for (int step = 0; step < steps; ++step) {
    const int column = (step * kWarpSize + lane) * kRowVector;
    if (column < columns) visit(step, column);
  }
}

template <class Element>
REMUDA_HOST_DEVICE Vector<Element, kRowVector> load_vector(const Element* from) {
  return *reinterpret_cast<const Vector<Element, kRowVector>*>(from);
}

// row += from[0, columns)
template <int steps, class Thread, class Element>
REMUDA_HOST_DEVICE void add_row(Thread& thread, const Element* from, int columns, WarpRow<steps>& row) {
  for_each_vector<steps>(thread, columns, [&](int step, int column) {
    const Vector<Element, kRowVector> vector = load_vector(from + column);
    REMUDA_UNROLL
    for (int i = 0; i < kRowVector; ++i) row.at[step][i] += to_float(vector.at[i]);
  });
}

// y = (row - mean) / sqrt(variance + epsilon) * gamma + beta; the variance is that of the differences, as on the CPU.
struct Normalization {
  const float* gamma;  // [columns]
  const float* beta;   // [columns]
  float epsilon;
};
template <int steps, class Thread, class Element>
REMUDA_HOST_DEVICE void store_normalized(Thread& thread, WarpRow<steps>& row, int columns, const Normalization& norm,
                                         Element* y) {
  float sum = 0.0f;
  for_each_vector<steps>(thread, columns, [&](int step, int) {
    REMUDA_UNROLL
    for (int i = 0; i < kRowVector; ++i) sum += row.at[step][i];
  });
  const float mean = warp_sum(thread, sum) / static_cast<float>(columns);
  float squares = 0.0f;
  for_each_vector<steps>(thread, columns, [&](int step, int) {
    REMUDA_UNROLL
    for (int i = 0; i < kRowVector; ++i) {
      row.at[step][i] -= mean;
      squares += row.at[step][i] * row.at[step][i];
    }
  });
  const float variance = warp_sum(thread, squares) / static_cast<float>(columns);
  const float factor = 1.0f / thread.square_root(variance + norm.epsilon);
  for_each_vector<steps>(thread, columns, [&](int step, int column) {
    const Vector<float, kRowVector> gamma = load_vector(norm.gamma + column);
    const Vector<float, kRowVector> beta = load_vector(norm.beta + column);
    Vector<Element, kRowVector> out;
    REMUDA_UNROLL
    for (int i = 0; i < kRowVector; ++i) {
      out.at[i] = from_float<Element>(row.at[step][i] * factor * gamma.at[i] + beta.at[i]);
    }
    *reinterpret_cast<Vector<Element, kRowVector>*>(y + column) = out;
  });
}

// Calls use(steps) with the fewest steps that hold a row, as a constant. Which it is depends on the row's length alone.
template <class Use>
void with_steps(int columns, Use use) {
  if (columns <= columns_of_steps(4)) return use(std::integral_constant<int, 4>());
  if (columns <= columns_of_steps(8)) return use(std::integral_constant<int, 8>());
  use(std::integral_constant<int, kMaxRowSteps>());
}

// y[r] = layer_norm(scale * words[ids[r]] + positions[position_ids[r]]).
template <class Element>
struct EmbedParams {
  const int32_t* ids = nullptr;           // [rows], in range
  const int32_t* position_ids = nullptr;  // [rows], in range
  const Element* words = nullptr;         // [vocabulary, columns]
  const float* positions = nullptr;       // [max_positions, columns]
  float scale = 1.0f;
  Normalization norm = {};
  Element* y = nullptr;  // [rows, columns]
  int64_t rows = 0;
  int columns = 0;
};
template <int steps, class Thread, class Element>
REMUDA_HOST_DEVICE void embed_body(Thread& thread, const EmbedParams<Element>& p) {
  const int64_t r = row_of_warp(thread);
  if (r >= p.rows) return;
  WarpRow<steps> row = {};
  add_row(thread, p.words + int64_t{p.ids[r]} * p.columns, p.columns, row);
  for_each_vector<steps>(thread, p.columns, [&](int step, int) {
    REMUDA_UNROLL
    for (int i = 0; i < kRowVector; ++i) row.at[step][i] *= p.scale;
  });
  add_row(thread, p.positions + int64_t{p.position_ids[r]} * p.columns, p.columns, row);
  store_normalized(thread, row, p.columns, p.norm, p.y + r * p.columns);
}

// y[r] = layer_norm(x[r] + bias + residual[r]). y may be x or residual.
template <class Element>
struct LayerNormParams {
  const Element* x = nullptr;         // [rows, columns]
  const float* bias = nullptr;        // [columns], or nullptr
  const Element* residual = nullptr;  // [rows, columns], or nullptr
  Normalization norm = {};
  Element* y = nullptr;  // [rows, columns]
  int64_t rows = 0;
  int columns = 0;
};
template <int steps, class Thread, class Element>
REMUDA_HOST_DEVICE void layer_norm_body(Thread& thread, const LayerNormParams<Element>& p) {
  const int64_t r = row_of_warp(thread);
  if (r >= p.rows) return;
  WarpRow<steps> row = {};
  add_row(thread, p.x + r * p.columns, p.columns, row);
  if (p.bias != nullptr) add_row(thread, p.bias, p.columns, row);
  if (p.residual != nullptr) add_row(thread, p.residual + r * p.columns, p.columns, row);
  store_normalized(thread, row, p.columns, p.norm, p.y + r * p.columns);
}

// The exact GELU, x * Phi(x), and the approximation that gelu_new names (Hendrycks and Gimpel 2016).
template <class Thread>
REMUDA_HOST_DEVICE float activated(Thread& thread, Activation activation, float x) {
  constexpr float kSqrtHalf = 0.70710678118654752f;
  constexpr float kSqrtTwoOverPi = 0.79788456080286536f;
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kGelu:
      return 0.5f * x * (1.0f + thread.error_function(x * kSqrtHalf));
    case Activation::kGeluTanh:
      return 0.5f * x * (1.0f + thread.hyperbolic_tangent(kSqrtTwoOverPi * (x + 0.044715f * x * x * x)));
    case Activation::kRelu:
      return x < 0.0f ? 0.0f : x;  // A NaN stays one.
    case Activation::kTanh:
      return thread.hyperbolic_tangent(x);
  }
  return x;
}

// x = activation(x + bias), in place.
template <class Element>
struct ActivateParams {
  Element* x = nullptr;         // [rows, columns]
  const float* bias = nullptr;  // [columns], or nullptr
  Activation activation = Activation::kNone;
  int64_t rows = 0;
  int columns = 0;  // A multiple of activate_vector<Element>.
};
template <class Element>
inline constexpr int activate_vector = kChunkBytes / static_cast<int>(sizeof(Element));

template <class Thread, class Element>
REMUDA_HOST_DEVICE void activate_body(Thread& thread, const ActivateParams<Element>& p) {
  constexpr int kWidth = activate_vector<Element>;
  const int64_t vector = thread.block() * kElementThreads + thread.index();
  const int per_row = p.columns / kWidth;
  if (vector >= p.rows * per_row) return;
  auto* at = reinterpret_cast<Vector<Element, kWidth>*>(p.x) + vector;
  Vector<Element, kWidth> values = *at;
  Vector<float, kWidth> bias = {};
  if (p.bias != nullptr) {
    bias = *reinterpret_cast<const Vector<float, kWidth>*>(p.bias + remainder_of(vector, per_row) * kWidth);
  }
  REMUDA_UNROLL
  for (int i = 0; i < kWidth; ++i) {
    values.at[i] = from_float<Element>(activated(thread, p.activation, to_float(values.at[i]) + bias.at[i]));
  }
  *at = values;
}

// y[i] = x[i] as the other type.
template <class From, class To>
struct ConvertParams {
  const From* x = nullptr;
  To* y = nullptr;
  int64_t count = 0;
};
template <class Thread, class From, class To>
REMUDA_HOST_DEVICE void convert_body(Thread& thread, const ConvertParams<From, To>& p) {
  const int64_t i = thread.block() * kElementThreads + thread.index();
  if (i < p.count) p.y[i] = from_float<To>(to_float(p.x[i]));
}

}  // namespace remuda::kernels::cuda
