// The AVX-512 intrinsics: the compiler's own, or, with REMUDA_SIMDE, those of SIMD Everywhere, through which the tests
// run AVX-512 sources on machines that lack it. Below is what its version 0.7.4 is missing of what the kernels use.
#pragma once

#ifndef REMUDA_SIMDE
#include <immintrin.h>
#else
// Not SIMDE_ENABLE_NATIVE_ALIASES: its aliases for BF16 clash with Clang's own headers.
#define SIMDE_X86_SSE3_ENABLE_NATIVE_ALIASES
#define SIMDE_X86_AVX_ENABLE_NATIVE_ALIASES
#define SIMDE_X86_AVX2_ENABLE_NATIVE_ALIASES
#define SIMDE_X86_FMA_ENABLE_NATIVE_ALIASES
#define SIMDE_X86_F16C_ENABLE_NATIVE_ALIASES
#define SIMDE_X86_AVX512F_ENABLE_NATIVE_ALIASES
#define SIMDE_X86_AVX512BW_ENABLE_NATIVE_ALIASES
#define SIMDE_X86_AVX512DQ_ENABLE_NATIVE_ALIASES
#define SIMDE_X86_AVX512VL_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>

#include "tensor/float16.h"

using __m512 = simde__m512;
using __m512i = simde__m512i;
using __mmask16 = simde__mmask16;

#ifndef _CMP_LT_OQ
#define _CMP_LT_OQ SIMDE_CMP_LT_OQ
#endif
#ifndef _MM_FROUND_NO_EXC
#define _MM_FROUND_NO_EXC SIMDE_MM_FROUND_NO_EXC
#endif
#ifndef _MM_FROUND_TO_NEAREST_INT
#define _MM_FROUND_TO_NEAREST_INT SIMDE_MM_FROUND_TO_NEAREST_INT
#endif

inline __m512 _mm512_maskz_loadu_ps(__mmask16 mask, const float* from) {
  float lanes[16] = {};
  for (int i = 0; i < 16; ++i) {
    if ((mask >> i & 1) != 0) __builtin_memcpy(&lanes[i], static_cast<const void*>(from + i), sizeof(float));
  }
  return _mm512_loadu_ps(lanes);
}

inline void _mm512_mask_storeu_ps(float* to, __mmask16 mask, __m512 value) {
  float lanes[16];
  _mm512_storeu_ps(lanes, value);
  for (int i = 0; i < 16; ++i) {
    if ((mask >> i & 1) != 0) to[i] = lanes[i];
  }
}

inline __m256 _mm512_extractf32x8_ps(__m512 value, int half) {
  float lanes[16];
  _mm512_storeu_ps(lanes, value);
  return _mm256_loadu_ps(lanes + 8 * half);
}

inline __m512 _mm512_cvtph_ps(__m256i value) {
  uint16_t bits[16];
  __builtin_memcpy(bits, &value, sizeof(bits));
  float lanes[16];
  for (int i = 0; i < 16; ++i) lanes[i] = remuda::f16_to_float(bits[i]);
  return _mm512_loadu_ps(lanes);
}

inline __m512i _mm512_cvtepu16_epi32(__m256i value) {
  uint16_t words[16];
  __builtin_memcpy(words, &value, sizeof(words));
  uint32_t lanes[16];
  for (int i = 0; i < 16; ++i) lanes[i] = words[i];
  return _mm512_loadu_si512(lanes);
}
#endif
