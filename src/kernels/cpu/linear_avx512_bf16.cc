#include "kernels/cpu/linear_impl.h"
#include "kernels/cpu/simd_avx512.h"

namespace remuda::kernels {
namespace {

// vdpbf16ps: pairs of bf16 inputs times pairs of bf16 weights, added to floats. Inputs are rounded to bf16, which the
// other instruction sets don't do.
struct Bf16Pairs {
  using Float = Avx512Vec;
  using V = Avx512Vec;
  using Weight = uint16_t;
  using Input = uint16_t;
  static constexpr int kGroup = 2;

  using Sums = __m512;
  using Operand = __m512bh;
  using Product = GroupedProduct<Bf16Pairs>;
  static constexpr int64_t kOutputs = kPanelOutputs<V>;

  static Operand as_operand(__m512i bits) {
    Operand operand;
    __builtin_memcpy(&operand, &bits, sizeof(operand));
    return operand;
  }
  static Sums first_sums(const std::byte*, int) { return _mm512_setzero_ps(); }
  static Operand load(const uint16_t* p) { return as_operand(_mm512_load_si512(p)); }
  static Operand broadcast(const std::byte* p) {
    int32_t pair;
    __builtin_memcpy(&pair, p, sizeof(pair));
    return as_operand(_mm512_set1_epi32(pair));
  }
  static Sums multiply_add(Sums sums, Operand inputs, Operand weights) {
    // Not the intrinsic: GCC 12 copies its sums through the stack, at half the speed.
    asm("vdpbf16ps %2, %1, %0" : "+v"(sums) : "v"(inputs), "v"(weights));
    return sums;
  }
  static V to_float(Sums sums) { return {sums}; }
  static V scale(V sums, const std::byte*, const std::byte*, int) { return sums; }

  static int64_t panel_bytes(int64_t in_features) { return Product::weight_bytes(in_features); }

  static void pack_panel(float* rows, int64_t in_features, std::byte* panel) {
    auto* weights = reinterpret_cast<uint16_t*>(panel);
    __builtin_memset(panel, 0, static_cast<size_t>(panel_bytes(in_features)));
    for (int64_t n = 0; n < kOutputs; ++n) {
      for (int64_t k = 0; k < in_features; ++k) {
        weights[(k / kGroup * kOutputs + n) * kGroup + k % kGroup] = float_to_bf16(rows[n * in_features + k]);
      }
    }
  }

  static int64_t prepared_row_bytes(int64_t in_features) {
    return align_panel(Product::groups(in_features) * kGroup * static_cast<int64_t>(sizeof(uint16_t)));
  }

  static void prepare_rows(const PreparedRows& rows) {
    for (int64_t r = 0; r < rows.rows; ++r) {
      const float* x = rows.x + r * rows.x_stride;
      auto* out = reinterpret_cast<uint16_t*>(rows.out + r * rows.out_stride_bytes);
      for (int64_t k = 0; k < rows.in_features; ++k) out[k] = float_to_bf16(x[k]);
      for (int64_t k = rows.in_features; k < Product::groups(rows.in_features) * kGroup; ++k) out[k] = 0;
    }
  }
};

}  // namespace

const LinearKernels kBf16Avx512Bf16 = {
    .panel_outputs = Bf16Pairs::kOutputs,
    .tile_rows = Avx512Vec::kRows,
    .panel_bytes = Bf16Pairs::panel_bytes,
    .pack_panel = Bf16Pairs::pack_panel,
    .prepared_row_bytes = Bf16Pairs::prepared_row_bytes,
    .prepare_rows = Bf16Pairs::prepare_rows,
    .multiply_panel = multiply_panel<Bf16Pairs::Product, Avx512Vec>,
};

}  // namespace remuda::kernels
