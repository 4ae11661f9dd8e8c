#include "kernels/cpu/attention_impl.h"
#include "kernels/cpu/bf16_pairs.h"

namespace remuda::kernels {
namespace {

// What is multiplied, rounded to bf16: twice as many at a time as floats.
struct RoundedToBf16 : Bf16Pairs {
  using Element = uint32_t;  // A pair: the first number in the lower half.
  using Scalar = uint32_t;

  static Operand load(const uint32_t* p) { return as_operand(_mm512_loadu_si512(p)); }
  static Avx512Vec multiply_add(Operand a, Operand b, Avx512Vec sum) { return {Bf16Pairs::multiply_add(sum.v, a, b)}; }

  // Lane by lane.
  static void store_pairs(Avx512Vec first, Avx512Vec second, uint32_t* to) {
    const __m512i low = _mm512_cvtepu16_epi32(narrow(first));
    const __m512i high = _mm512_cvtepu16_epi32(narrow(second));
    _mm512_storeu_si512(to, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
  }
};

using Keys = HeadKeys<Avx512Vec, RoundedToBf16>;

// `panel` is room for one panel of floats.
void pack_key_pairs(const AttentionHead& head, float* panel, uint32_t* to) {
  constexpr int64_t kWidth = Avx512Vec::kWidth;
  for (int64_t first = 0; first < head.length; first += kWidth) {
    pack_key_panel<Avx512Vec>(head.k, head.k_stride, head.length, head.head_dim, first, panel);
    for (int64_t d = 0; d < head.head_dim; d += RoundedToBf16::kGroup, to += kWidth) {
      const float* row = panel + d * kWidth;
      const bool odd = d + 1 == head.head_dim;
      RoundedToBf16::store_pairs(Avx512Vec::load(row), odd ? Avx512Vec::zero() : Avx512Vec::load(row + kWidth), to);
    }
  }
}

void pack_value_pairs(const AttentionHead& head, int64_t padded_dim, uint32_t* to) {
  constexpr int64_t kWidth = Avx512Vec::kWidth;
  for (int64_t s = 0; s < head.length; s += RoundedToBf16::kGroup, to += padded_dim) {
    const float* first = head.v + s * head.v_stride;
    const bool odd = s + 1 == head.length;
    for (int64_t c = 0; c < head.head_dim; c += kWidth) {
      const auto count = static_cast<int>(head.head_dim - c < kWidth ? head.head_dim - c : kWidth);
      const Avx512Vec second = odd ? Avx512Vec::zero() : Avx512Vec::load(first + head.v_stride + c, count);
      RoundedToBf16::store_pairs(Avx512Vec::load(first + c, count), second, to + c);
    }
  }
}

}  // namespace

// Keys, values and queries take half the room of floats, which leaves enough for a panel of floats beside them.
void attention_head_avx512_bf16(const AttentionHead& head) {
  Keys keys{.length = head.length, .head_dim = head.head_dim};
  auto* packed_keys = reinterpret_cast<uint32_t*>(head.scratch);
  uint32_t* packed_values = packed_keys + keys.panels() * Avx512Vec::kWidth * keys.dim_groups();
  keys.keys = packed_keys;
  keys.values = packed_values;
  keys.queries = packed_values + keys.key_groups() * keys.padded_dim();
  keys.scores = reinterpret_cast<float*>(keys.queries + kMaxQueryRows * keys.dim_groups());
  pack_key_pairs(head, /*panel=*/reinterpret_cast<float*>(packed_values), packed_keys);
  pack_value_pairs(head, keys.padded_dim(), packed_values);
  attend<Avx512Vec>(queries_of(head), keys);
}

}  // namespace remuda::kernels
