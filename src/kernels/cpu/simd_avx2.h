// Eight floats with AVX2, FMA and F16C. See simd_generic.h for what the members mean.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace remuda::kernels {
namespace {

struct Avx2Vec {
  using Native = __m256;
  static constexpr int kWidth = 8;
  static constexpr int kRows = 6;
  static constexpr int kColumns = 2;

  Native v;

  static Avx2Vec zero() { return {_mm256_setzero_ps()}; }
  static Avx2Vec set(float x) { return {_mm256_set1_ps(x)}; }
  static Avx2Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
  void store(float* p) const { _mm256_storeu_ps(p, v); }
  static Avx2Vec load(const float* p, int count) { return {_mm256_maskload_ps(p, mask(count))}; }
  void store(float* p, int count) const { _mm256_maskstore_ps(p, mask(count), v); }
  static Avx2Vec first(Avx2Vec a, int count, float fill) {
    return {_mm256_blendv_ps(_mm256_set1_ps(fill), a.v, _mm256_castsi256_ps(mask(count)))};
  }
  static Avx2Vec load_f16(const void* p) { return {_mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(p)))}; }
  static Avx2Vec load_f16(const void* p, int count) { return {_mm256_cvtph_ps(load_16bit(p, count))}; }
  static Avx2Vec load_bf16(const void* p) { return widen_bf16(_mm_loadu_si128(static_cast<const __m128i*>(p))); }
  static Avx2Vec load_bf16(const void* p, int count) { return widen_bf16(load_16bit(p, count)); }

  static void transpose(const float* from, int64_t stride, int rows, int64_t cols, float* to) {
    int64_t c = 0;
    for (; c + 4 <= cols; c += 4) {
      // Lane l of row[r] is row 4 l + r, so transposing within the lanes puts all rows in order.
      const auto quad = [&](int r) { return r < rows ? _mm_loadu_ps(from + r * stride + c) : _mm_setzero_ps(); };
      Native row[4];
      for (int r = 0; r < 4; ++r) {
        row[r] = _mm256_set_m128(quad(r + 4), quad(r));
      }
      const Native a = _mm256_unpacklo_ps(row[0], row[1]);
      const Native b = _mm256_unpacklo_ps(row[2], row[3]);
      const Native d = _mm256_unpackhi_ps(row[0], row[1]);
      const Native e = _mm256_unpackhi_ps(row[2], row[3]);
      Avx2Vec{_mm256_shuffle_ps(a, b, _MM_SHUFFLE(1, 0, 1, 0))}.store(to + c * kWidth);
      Avx2Vec{_mm256_shuffle_ps(a, b, _MM_SHUFFLE(3, 2, 3, 2))}.store(to + (c + 1) * kWidth);
      Avx2Vec{_mm256_shuffle_ps(d, e, _MM_SHUFFLE(1, 0, 1, 0))}.store(to + (c + 2) * kWidth);
      Avx2Vec{_mm256_shuffle_ps(d, e, _MM_SHUFFLE(3, 2, 3, 2))}.store(to + (c + 3) * kWidth);
    }
    for (; c < cols; ++c) {
      for (int r = 0; r < kWidth; ++r) to[c * kWidth + r] = r < rows ? from[r * stride + c] : 0.0f;
    }
  }

  friend Avx2Vec operator+(Avx2Vec a, Avx2Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
  friend Avx2Vec operator-(Avx2Vec a, Avx2Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
  friend Avx2Vec operator*(Avx2Vec a, Avx2Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
  friend Avx2Vec operator/(Avx2Vec a, Avx2Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
  friend Avx2Vec fma(Avx2Vec a, Avx2Vec b, Avx2Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
  friend Avx2Vec max(Avx2Vec a, Avx2Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
  friend Avx2Vec min(Avx2Vec a, Avx2Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
  friend Avx2Vec abs(Avx2Vec a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
  friend Avx2Vec copysign(Avx2Vec a, Avx2Vec b) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return {_mm256_or_ps(_mm256_andnot_ps(sign, a.v), _mm256_and_ps(sign, b.v))};
  }
  friend Avx2Vec select_less(Avx2Vec a, Avx2Vec b, Avx2Vec x, Avx2Vec y) {
    return {_mm256_blendv_ps(y.v, x.v, _mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ))};
  }
  friend Avx2Vec round(Avx2Vec a) { return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
  friend Avx2Vec scale_pow2(Avx2Vec a, Avx2Vec n) {
    const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n.v), _mm256_set1_epi32(127));
    const __m256i bits = _mm256_slli_epi32(_mm256_max_epi32(exponent, _mm256_setzero_si256()), 23);
    return {_mm256_mul_ps(a.v, _mm256_castsi256_ps(bits))};
  }

  float sum() const {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
  }
  float max_element() const {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
  }

 private:
  static __m256i mask(int count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static __m128i load_16bit(const void* p, int count) {
    __m128i bits = _mm_setzero_si128();
    __builtin_memcpy(&bits, p, 2 * static_cast<size_t>(count));
    return bits;
  }
  static Avx2Vec widen_bf16(__m128i bits) {
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16))};
  }
};

}  // namespace
}  // namespace remuda::kernels
