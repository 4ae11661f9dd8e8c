// The matrix products as templates over the vectors of simd_*.h, instantiated in one source file for each instruction
// set.
//
// Weights are packed in panels of V::kColumns vectors of outputs. A tile of V::kRows rows times a panel is kept in
// registers while the whole of in_features goes by, so each value of y is one chain of additions from the first input
// to the last, whatever the size of the tile: its bits depend on its own row of x alone.
//
// The loops over a tile must be unrolled before the compiler decides what lives in registers, hence the pragmas.
#pragma once

#include "kernels/cpu/linear.h"
#include "kernels/cpu/simd_math.h"
#include "kernels/cpu/stored_floats.h"

namespace remuda::kernels {
namespace {

constexpr int64_t kPanelAlignment = 64;

constexpr int64_t align_panel(int64_t bytes) {
  return (bytes + kPanelAlignment - 1) / kPanelAlignment * kPanelAlignment;
}

template <typename V>
constexpr int64_t kPanelOutputs = V::kColumns * V::kWidth;

template <Activation kActivation, typename V>
V apply(V x) {
  if constexpr (kActivation == Activation::kGelu) return vgelu(x);
  if constexpr (kActivation == Activation::kGeluTanh) return vgelu_tanh(x);
  if constexpr (kActivation == Activation::kRelu) return vrelu(x);
  if constexpr (kActivation == Activation::kTanh) return vtanh(x);
  return x;
}

// Bias, activation, residual, and the store, of one vector of sums: row `row`, outputs from `output` on.
template <Activation kActivation, typename V>
void finish(const LinearPanel& p, int64_t row, int64_t output, V sum) {
  const int64_t left = p.outputs - output;
  float* y = p.y + row * p.y_stride + output;
  const float* residual = p.residual == nullptr ? nullptr : p.residual + row * p.residual_stride + output;
  if (left >= V::kWidth) {
    if (p.bias != nullptr) sum = sum + V::load(p.bias + output);
    sum = apply<kActivation>(sum);
    if (residual != nullptr) sum = sum + V::load(residual);
    sum.store(y);
  } else if (left > 0) {
    const int count = static_cast<int>(left);
    if (p.bias != nullptr) sum = sum + V::load(p.bias + output, count);
    sum = apply<kActivation>(sum);
    if (residual != nullptr) sum = sum + V::load(residual, count);
    sum.store(y, count);
  }
}

template <Activation kActivation, typename V>
void finish_rows(const LinearPanel& p, int64_t row, int64_t rows, const float* sums) {
  for (int64_t r = 0; r < rows; ++r, sums += kPanelOutputs<V>) {
    for (int c = 0; c < V::kColumns; ++c) finish<kActivation>(p, row + r, c * V::kWidth, V::load(sums + c * V::kWidth));
  }
}

// The sums of a tile, on their way from the registers that they were added up in to y. Not inlined: a call in sight of
// those registers, none of which survives it, would make the compiler keep them in memory all along.
template <typename V>
[[gnu::noinline]] void finish_tile(const LinearPanel& p, int64_t row, int64_t rows, const float* sums) {
  switch (p.activation) {
    case Activation::kNone:
      return finish_rows<Activation::kNone, V>(p, row, rows, sums);
    case Activation::kGelu:
      return finish_rows<Activation::kGelu, V>(p, row, rows, sums);
    case Activation::kGeluTanh:
      return finish_rows<Activation::kGeluTanh, V>(p, row, rows, sums);
    case Activation::kRelu:
      return finish_rows<Activation::kRelu, V>(p, row, rows, sums);
    case Activation::kTanh:
      return finish_rows<Activation::kTanh, V>(p, row, rows, sums);
  }
}

// The next panel on its way from memory while a tile is computed: a share of it for each tile, a line for each step of
// the loop over inputs. Without it the first tile would wait for memory at every step, and the others leave it idle.
struct FetchAhead {
  const std::byte* at;
  int64_t stride;

  // `steps` steps over `step_bytes` of weights each; this is the tile of row `row`.
  FetchAhead(const LinearPanel& p, int64_t row, int64_t tile_rows, int64_t steps, int64_t step_bytes) {
    const int64_t tiles = (p.rows + tile_rows - 1) / tile_rows;
    const bool worthwhile = p.next != nullptr && tiles > 1;
    stride = worthwhile ? step_bytes / tiles : 0;  // 0: one line, over and over, that is there already.
    at = worthwhile ? p.next + row / tile_rows * steps * stride : p.panel;
  }

  void step() {
    __builtin_prefetch(at, 0, 2);
    at += stride;
  }
};

// Panels of float products: for each input, kColumns vectors of weights.
template <typename V, template <typename> typename Stored>
struct FloatProduct {
  using Element = typename Stored<V>::Element;
  static constexpr int64_t kOutputs = kPanelOutputs<V>;

  static int64_t panel_bytes(int64_t in_features) {
    return align_panel(in_features * kOutputs * static_cast<int64_t>(sizeof(Element)));
  }

  static void pack_panel(float* rows, int64_t in_features, std::byte* panel) {
    auto* to = reinterpret_cast<Element*>(panel);
    for (int64_t k = 0; k < in_features; ++k) {
      for (int64_t n = 0; n < kOutputs; ++n) *to++ = Stored<V>::narrow(rows[n * in_features + k]);
    }
  }

  template <int kRows>
  static void multiply_tile(const LinearPanel& p, int64_t row) {
    const auto* x = reinterpret_cast<const float*>(p.x + row * p.x_stride_bytes);
    const int64_t stride = p.x_stride_bytes / static_cast<int64_t>(sizeof(float));
    const auto* w = reinterpret_cast<const Element*>(p.panel);
    V sums[kRows][V::kColumns];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int c = 0; c < V::kColumns; ++c) sums[r][c] = V::zero();
    }
    FetchAhead ahead(p, row, V::kRows, p.in_features, kOutputs * static_cast<int64_t>(sizeof(Element)));
    for (int64_t k = 0; k < p.in_features; ++k, w += kOutputs) {
      ahead.step();
      V weights[V::kColumns];
#pragma GCC unroll 4
      for (int c = 0; c < V::kColumns; ++c) weights[c] = Stored<V>::load(w + c * V::kWidth);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const V value = V::set(x[r * stride + k]);
#pragma GCC unroll 4
        for (int c = 0; c < V::kColumns; ++c) sums[r][c] = fma(value, weights[c], sums[r][c]);
      }
    }
    alignas(64) float out[kRows][kOutputs];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int c = 0; c < V::kColumns; ++c) sums[r][c].store(out[r] + c * V::kWidth);
    }
    finish_tile<V>(p, row, kRows, out[0]);
  }
};

// Panels of products over groups of neighbouring inputs, as dot-product instructions take them: for each group,
// kColumns vectors of kGroup weights an output. G describes the instructions.
template <typename G>
struct GroupedProduct {
  using V = typename G::Float;
  using Weight = typename G::Weight;
  using Input = typename G::Input;
  static constexpr int64_t kOutputs = kPanelOutputs<V>;

  static constexpr int64_t groups(int64_t in_features) { return (in_features + G::kGroup - 1) / G::kGroup; }
  static int64_t weight_bytes(int64_t in_features) {
    return align_panel(groups(in_features) * G::kGroup * kOutputs * static_cast<int64_t>(sizeof(Weight)));
  }

  template <int kRows>
  static void multiply_tile(const LinearPanel& p, int64_t row) {
    const std::byte* x = p.x + row * p.x_stride_bytes;
    const auto* w = reinterpret_cast<const Weight*>(p.panel);
    const std::byte* tail = p.panel + weight_bytes(p.in_features);
    typename G::Sums sums[kRows][V::kColumns];
#pragma GCC unroll 4
    for (int c = 0; c < V::kColumns; ++c) {
      const auto first = G::first_sums(tail, c);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) sums[r][c] = first;
    }
    const int64_t count = groups(p.in_features);
    constexpr int64_t kInputBytes = G::kGroup * static_cast<int64_t>(sizeof(Input));
    FetchAhead ahead(p, row, V::kRows, count, kOutputs * G::kGroup * static_cast<int64_t>(sizeof(Weight)));
    for (int64_t g = 0; g < count; ++g, w += kOutputs * G::kGroup) {
      ahead.step();
      typename G::Operand weights[V::kColumns];
#pragma GCC unroll 4
      for (int c = 0; c < V::kColumns; ++c) weights[c] = G::load(w + c * V::kWidth * G::kGroup);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const auto inputs = G::broadcast(x + r * p.x_stride_bytes + g * kInputBytes);
#pragma GCC unroll 4
        for (int c = 0; c < V::kColumns; ++c) sums[r][c] = G::multiply_add(sums[r][c], inputs, weights[c]);
      }
    }
    alignas(64) float out[kRows][kOutputs];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const std::byte* row_tail = x + r * p.x_stride_bytes + count * kInputBytes;
#pragma GCC unroll 4
      for (int c = 0; c < V::kColumns; ++c) {
        G::scale(G::to_float(sums[r][c]), row_tail, tail, c).store(out[r] + c * V::kWidth);
      }
    }
    finish_tile<V>(p, row, kRows, out[0]);
  }
};

// All rows: full tiles, then one of what is left.
template <typename Product, int kRows>
void multiply_rest(const LinearPanel& p, int64_t row) {
  if constexpr (kRows > 0) {
    if (p.rows - row == kRows) return Product::template multiply_tile<kRows>(p, row);
    multiply_rest<Product, kRows - 1>(p, row);
  }
}

template <typename Product, typename V>
void multiply_panel(const LinearPanel& p) {
  int64_t row = 0;
  for (; row + V::kRows <= p.rows; row += V::kRows) Product::template multiply_tile<V::kRows>(p, row);
  multiply_rest<Product, V::kRows - 1>(p, row);
}

template <typename V, template <typename> typename Stored>
constexpr LinearKernels float_kernels() {
  using Product = FloatProduct<V, Stored>;
  return {
      .panel_outputs = Product::kOutputs,
      .tile_rows = V::kRows,
      .panel_bytes = Product::panel_bytes,
      .pack_panel = Product::pack_panel,
      .prepared_row_bytes = nullptr,
      .prepare_rows = nullptr,
      .multiply_panel = multiply_panel<Product, V>,
  };
}

}  // namespace
}  // namespace remuda::kernels
