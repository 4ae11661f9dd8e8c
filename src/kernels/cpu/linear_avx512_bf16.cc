#include "kernels/cpu/bf16_pairs.h"
#include "kernels/cpu/linear_impl.h"

namespace remuda::kernels {
namespace {

// Inputs are rounded to bf16, which the other instruction sets don't do.
struct Bf16Group : Bf16Pairs {
  using Float = Avx512Vec;
  using V = Avx512Vec;
  using Weight = uint16_t;
  using Input = uint16_t;

  using Sums = __m512;
  using Product = GroupedProduct<Bf16Group>;
  static constexpr int64_t kOutputs = kPanelOutputs<V>;

  static Sums first_sums(const std::byte*, int) { return _mm512_setzero_ps(); }
  static Operand load(const uint16_t* p) { return as_operand(_mm512_load_si512(p)); }
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
      group(rows.x + r * rows.x_stride, rows.in_features, rows.out + r * rows.out_stride_bytes);
    }
  }
};

}  // namespace

const LinearKernels kBf16Avx512Bf16 = {
    .panel_outputs = Bf16Group::kOutputs,
    .tile_rows = Avx512Vec::kRows,
    .panel_bytes = Bf16Group::panel_bytes,
    .pack_panel = Bf16Group::pack_panel,
    .prepared_row_bytes = Bf16Group::prepared_row_bytes,
    .prepare_rows = Bf16Group::prepare_rows,
    .multiply_panel = multiply_panel<Bf16Group::Product, Avx512Vec>,
};

}  // namespace remuda::kernels
