// Sixteen floats with AVX-512 F, BW, DQ, VL. See simd_generic.h for what the members mean.
#pragma once

#ifdef REMUDA_SIMDE
// The tests run this on machines without AVX-512 through SIMD Everywhere.
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#else
#include <immintrin.h>
#endif

#include <cstddef>
#include <cstdint>

namespace remuda::kernels {
namespace {

struct Avx512Vec {
  using Native = __m512;
  static constexpr int kWidth = 16;
  static constexpr int kRows = 6;
  static constexpr int kColumns = 4;

  Native v;

  static Avx512Vec zero() { return {_mm512_setzero_ps()}; }
  static Avx512Vec set(float x) { return {_mm512_set1_ps(x)}; }
  static Avx512Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
  static Avx512Vec load(const float* p, int count) { return {_mm512_maskz_loadu_ps(mask(count), p)}; }
  void store(float* p, int count) const { _mm512_mask_storeu_ps(p, mask(count), v); }
  static Avx512Vec first(Avx512Vec a, int count) { return {_mm512_maskz_mov_ps(mask(count), a.v)}; }
  static Avx512Vec load_f16(const void* p) { return widen_f16(_mm256_loadu_si256(static_cast<const __m256i*>(p))); }
  static Avx512Vec load_f16(const void* p, int count) { return widen_f16(load_16bit(p, count)); }
  static Avx512Vec load_bf16(const void* p) { return widen_bf16(_mm256_loadu_si256(static_cast<const __m256i*>(p))); }
  static Avx512Vec load_bf16(const void* p, int count) { return widen_bf16(load_16bit(p, count)); }

  static void transpose(const float* from, int64_t stride, int rows, int64_t cols, float* to) {
    for (int64_t c = 0; c < cols; ++c) {
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
