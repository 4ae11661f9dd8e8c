// vdpbf16ps: pairs of bf16 numbers times pairs of bf16 numbers, added to floats.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/simd_avx512.h"

namespace remuda::kernels {
namespace {

struct Bf16Pairs {
  using Operand = __m512bh;
  static constexpr int kGroup = 2;

  static Operand as_operand(__m512i bits) {
    Operand operand;
    __builtin_memcpy(&operand, &bits, sizeof(operand));
    return operand;
  }
  static Operand broadcast(const void* pair) {
    int32_t bits;
    __builtin_memcpy(&bits, pair, sizeof(bits));
    return as_operand(_mm512_set1_epi32(bits));
  }
  static __m512 multiply_add(__m512 sums, Operand a, Operand b) {
    // Not the intrinsic: GCC 12 copies its sums through the stack, at half the speed.
    asm("vdpbf16ps %2, %1, %0" : "+v"(sums) : "v"(a), "v"(b));
    return sums;
  }

  // Rounded to nearest, ties to even; subnormal numbers become 0.
  static __m256i narrow(Avx512Vec x) {
    const __m256bh narrowed = _mm512_cvtneps_pbh(x.v);
    __m256i bits;
    __builtin_memcpy(&bits, &narrowed, sizeof(bits));
    return bits;
  }

  // `count` numbers as pairs; an odd one's partner is 0. `to` may be `from`, or not overlap it.
  static void group(const float* from, int64_t count, void* to) {
    auto* out = static_cast<__m256i*>(to);
    for (; count >= Avx512Vec::kWidth; count -= Avx512Vec::kWidth, from += Avx512Vec::kWidth) {
      _mm256_storeu_si256(out++, narrow(Avx512Vec::load(from)));
    }
    if (count == 0) return;
    const auto pairs = static_cast<unsigned>(count + 1) / kGroup;
    _mm256_mask_storeu_epi32(out, static_cast<__mmask8>((1u << pairs) - 1u),
                             narrow(Avx512Vec::load(from, static_cast<int>(count))));
  }
};

}  // namespace
}  // namespace remuda::kernels
