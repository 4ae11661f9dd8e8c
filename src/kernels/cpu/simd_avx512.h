// Sixteen floats with AVX-512 F, BW, DQ, VL. See simd_generic.h for what the members mean.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/avx512_intrinsics.h"

namespace remuda::kernels {
namespace {

struct Avx512Vec {
  using Native = __m512;
  static constexpr int kWidth = 16;
  static constexpr int kRows = 12;
  static constexpr int kColumns = 2;

  Native v;

  static Avx512Vec zero() { return {_mm512_setzero_ps()}; }
  static Avx512Vec set(float x) { return {_mm512_set1_ps(x)}; }
  static Avx512Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
  static Avx512Vec load(const float* p, int count) { return {_mm512_maskz_loadu_ps(mask(count), p)}; }
  void store(float* p, int count) const { _mm512_mask_storeu_ps(p, mask(count), v); }
  static Avx512Vec first(Avx512Vec a, int count, float fill) {
    return {_mm512_mask_mov_ps(_mm512_set1_ps(fill), mask(count), a.v)};
  }
  static Avx512Vec load_f16(const void* p) { return widen_f16(_mm256_loadu_si256(static_cast<const __m256i*>(p))); }
  static Avx512Vec load_f16(const void* p, int count) { return widen_f16(load_16bit(p, count)); }
  static Avx512Vec load_bf16(const void* p) { return widen_bf16(_mm256_loadu_si256(static_cast<const __m256i*>(p))); }
  static Avx512Vec load_bf16(const void* p, int count) { return widen_bf16(load_16bit(p, count)); }

  static void transpose(const float* from, int64_t stride, int rows, int64_t cols, float* to) {
    int64_t c = 0;
    for (; c + 4 <= cols; c += 4) {
      // Lane l of row[r] is row 4 l + r, so transposing within the lanes puts all rows in order.
      const auto quad = [&](int r) { return r < rows ? _mm_loadu_ps(from + r * stride + c) : _mm_setzero_ps(); };
      Native row[4];
      for (int r = 0; r < 4; ++r) {
        const __m512 low = _mm512_castps256_ps512(_mm256_set_m128(quad(r + 4), quad(r)));
        row[r] = _mm512_insertf32x8(low, _mm256_set_m128(quad(r + 12), quad(r + 8)), 1);
      }
      const Native a = _mm512_unpacklo_ps(row[0], row[1]);
      const Native b = _mm512_unpacklo_ps(row[2], row[3]);
      const Native d = _mm512_unpackhi_ps(row[0], row[1]);
      const Native e = _mm512_unpackhi_ps(row[2], row[3]);
      Avx512Vec{_mm512_shuffle_ps(a, b, _MM_SHUFFLE(1, 0, 1, 0))}.store(to + c * kWidth);
      Avx512Vec{_mm512_shuffle_ps(a, b, _MM_SHUFFLE(3, 2, 3, 2))}.store(to + (c + 1) * kWidth);
      Avx512Vec{_mm512_shuffle_ps(d, e, _MM_SHUFFLE(1, 0, 1, 0))}.store(to + (c + 2) * kWidth);
      Avx512Vec{_mm512_shuffle_ps(d, e, _MM_SHUFFLE(3, 2, 3, 2))}.store(to + (c + 3) * kWidth);
    }
    for (; c < cols; ++c) {
      for (int r = 0; r < kWidth; ++r) to[c * kWidth + r] = r < rows ? from[r * stride + c] : 0.0f;
    }
  }

  friend Avx512Vec operator+(Avx512Vec a, Avx512Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
  friend Avx512Vec operator-(Avx512Vec a, Avx512Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
  friend Avx512Vec operator*(Avx512Vec a, Avx512Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
  friend Avx512Vec operator/(Avx512Vec a, Avx512Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
  friend Avx512Vec fma(Avx512Vec a, Avx512Vec b, Avx512Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
  friend Avx512Vec max(Avx512Vec a, Avx512Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
  friend Avx512Vec min(Avx512Vec a, Avx512Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
  friend Avx512Vec abs(Avx512Vec a) { return {_mm512_andnot_ps(_mm512_set1_ps(-0.0f), a.v)}; }
  friend Avx512Vec copysign(Avx512Vec a, Avx512Vec b) {
    const __m512 sign = _mm512_set1_ps(-0.0f);
    return {_mm512_or_ps(_mm512_andnot_ps(sign, a.v), _mm512_and_ps(sign, b.v))};
  }
  friend Avx512Vec select_less(Avx512Vec a, Avx512Vec b, Avx512Vec x, Avx512Vec y) {
    return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), y.v, x.v)};
  }
  friend Avx512Vec round(Avx512Vec a) {
    return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  friend Avx512Vec scale_pow2(Avx512Vec a, Avx512Vec n) { return {_mm512_scalef_ps(a.v, n.v)}; }

  float sum() const {
    const __m256 s = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
  }
  float max_element() const {
    const __m256 m = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(m), _mm256_extractf128_ps(m, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
  }

 private:
  static __mmask16 mask(int count) { return static_cast<__mmask16>((1u << count) - 1u); }
  static __m256i load_16bit(const void* p, int count) {
    __m256i bits = _mm256_setzero_si256();
    __builtin_memcpy(&bits, p, 2 * static_cast<size_t>(count));
    return bits;
  }
  static Avx512Vec widen_f16(__m256i bits) { return {_mm512_cvtph_ps(bits)}; }
  static Avx512Vec widen_bf16(__m256i bits) {
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16))};
  }
};

}  // namespace
}  // namespace remuda::kernels
