// int8 products. Weights are quantized per output, symmetrically to [-127, 127]. Inputs are quantized per row around
// the middle of their range, c: x = c + scale q, so that a row of GELU's outputs, nearly all of one sign, uses all of
// the steps. A product is then row_scale weight_scale (sum of q w) + c weight_scale (sum of w), whose sums are exact in
// int32. All instruction sets quantize alike, so their results differ by the rounding of the last products only.
#pragma once

#include "kernels/cpu/linear_impl.h"

namespace remuda::kernels {
namespace {

constexpr float kMaxQuantized = 127.0f;

struct Quantization {
  float scale;    // What a step of 1 stands for; a NaN where x has a NaN or an infinity.
  float inverse;  // 0 for a row of zeros.
  float center;   // What 0 stands for.
};

enum class Center { kZero, kMiddle };

// The range has 0 in it, always: it is what the last vector of a row is filled up with.
template <typename V>
Quantization quantization_of(const float* x, int64_t n, Center center) {
  V least = V::zero();
  V most = V::zero();
  V not_finite = V::zero();  // x * 0 is 0 for every number, and a NaN for the rest.
  const auto look = [&](V value) {
    least = min(value, least);
    most = max(value, most);
    not_finite = fma(value, V::zero(), not_finite);
  };
  int64_t i = 0;
  for (; i + V::kWidth <= n; i += V::kWidth) look(V::load(x + i));
  if (i < n) look(V::load(x + i, static_cast<int>(n - i)));
  const float high = most.max_element();
  const float low = (V::zero() - least).max_element();  // Below 0, by this much.
  const float middle = center == Center::kMiddle ? 0.5f * high - 0.5f * low : 0.0f;
  const float reach = center == Center::kMiddle ? 0.5f * high + 0.5f * low : (high > low ? high : low);
  return {reach / kMaxQuantized + not_finite.sum(), reach > 0.0f ? kMaxQuantized / reach : 0.0f, middle};
}

// Writes n quantized values plus kOffset; what is not finite becomes some value. I: as for Int8Group.
template <typename I, int kOffset, typename Integer>
void quantize(const float* x, int64_t n, Quantization quantization, Integer* out) {
  using V = typename I::Float;
  const V inverse = V::set(quantization.inverse);
  const V center = V::set(quantization.center);
  const V most = V::set(kMaxQuantized);
  const auto quantized = [&](V value) {
    // min(NaN, most) is most.
    return max(min(round((value - center) * inverse), most), V::zero() - most) + V::set(kOffset);
  };
  int64_t i = 0;
  for (; i + V::kWidth <= n; i += V::kWidth) I::store(quantized(V::load(x + i)), out + i);
  if (i == n) return;
  const auto rest = static_cast<size_t>(n - i);
  Integer last[V::kWidth];
  I::store(quantized(V::load(x + i, static_cast<int>(rest))), last);
  __builtin_memcpy(out + i, last, rest * sizeof(Integer));
}

// How int8 rows and panels look in memory. I adds the instructions:
//   Float, Input, kGroup, kInputOffset (what is added to quantized inputs), Sums, Operand, multiply_add, and store
//   (floats that are integers in the range of what they are stored as).
template <typename I>
struct Int8Group : I {
  using V = typename I::Float;
  using Weight = int8_t;
  using Input = typename I::Input;
  static constexpr int64_t kOutputs = kPanelOutputs<V>;

  // Behind a panel's weights, for each output: its scale, the sum of its weights, and what the sums begin with.
  struct PanelTail {
    float scales[kOutputs];
    float weight_sums[kOutputs];
    int32_t first_sums[kOutputs];
  };
  // Behind a row's inputs.
  struct RowTail {
    float scale;
    float center;
  };

  static typename I::Sums first_sums(const std::byte* tail, int column) {
    return I::load_sums(reinterpret_cast<const PanelTail*>(tail)->first_sums + column * V::kWidth);
  }
  static V scale(V sums, const std::byte* row_tail, const std::byte* panel_tail, int column) {
    RowTail row;
    __builtin_memcpy(&row, row_tail, sizeof(row));
    const auto* panel = reinterpret_cast<const PanelTail*>(panel_tail);
    return fma(V::set(row.center), V::load(panel->weight_sums + column * V::kWidth),
               sums * (V::set(row.scale) * V::load(panel->scales + column * V::kWidth)));
  }

  using Product = GroupedProduct<Int8Group>;

  static int64_t panel_bytes(int64_t in_features) {
    return Product::weight_bytes(in_features) + align_panel(sizeof(PanelTail));
  }

  static void pack_panel(float* rows, int64_t in_features, std::byte* panel) {
    auto* weights = reinterpret_cast<int8_t*>(panel);
    auto* tail = reinterpret_cast<PanelTail*>(panel + Product::weight_bytes(in_features));
    const int64_t group_weights = kOutputs * I::kGroup;
    __builtin_memset(panel, 0, static_cast<size_t>(panel_bytes(in_features)));
    for (int64_t n = 0; n < kOutputs; ++n) {
      float* row = rows + n * in_features;
      const Quantization quantization = quantization_of<V>(row, in_features, Center::kZero);
      // In place: int8 values are smaller than the floats that they come from.
      auto* quantized = reinterpret_cast<int8_t*>(row);
      quantize<I, 0>(row, in_features, quantization, quantized);
      int32_t sum = 0;
      for (int64_t k = 0; k < in_features; ++k) {
        weights[k / I::kGroup * group_weights + n * I::kGroup + k % I::kGroup] = quantized[k];
        sum += quantized[k];
      }
      tail->scales[n] = quantization.scale;
      tail->weight_sums[n] = quantization.scale * static_cast<float>(sum);
      tail->first_sums[n] = -I::kInputOffset * sum;
    }
  }

  static int64_t padded_bytes(int64_t in_features) {
    return Product::groups(in_features) * I::kGroup * static_cast<int64_t>(sizeof(Input));
  }
  static int64_t prepared_row_bytes(int64_t in_features) {
    return align_panel(padded_bytes(in_features) + static_cast<int64_t>(sizeof(RowTail)));
  }

  // A row's quantized inputs, padded to whole groups, and its tail.
  static void prepare_rows(const PreparedRows& rows) {
    for (int64_t r = 0; r < rows.rows; ++r) {
      const float* x = rows.x + r * rows.x_stride;
      auto* out = reinterpret_cast<Input*>(rows.out + r * rows.out_stride_bytes);
      const Quantization quantization = quantization_of<V>(x, rows.in_features, Center::kMiddle);
      quantize<I, I::kInputOffset>(x, rows.in_features, quantization, out);
      const int64_t padded = Product::groups(rows.in_features) * I::kGroup;
      for (int64_t k = rows.in_features; k < padded; ++k) out[k] = 0;  // Their weights are 0.
      const RowTail tail = {quantization.scale, quantization.center};
      __builtin_memcpy(out + padded, &tail, sizeof(tail));
    }
  }

  static constexpr LinearKernels kernels() {
    return {
        .panel_outputs = kOutputs,
        .tile_rows = V::kRows,
        .panel_bytes = panel_bytes,
        .pack_panel = pack_panel,
        .prepared_row_bytes = prepared_row_bytes,
        .prepare_rows = prepare_rows,
        .multiply_panel = multiply_panel<Product, V>,
    };
  }
};

}  // namespace
}  // namespace remuda::kernels
