// Conversions between float and the two 16-bit formats, one element at a time. The kernels have vector
// versions.
#pragma once

#include <cstdint>

namespace remuda {

[[gnu::always_inline]] inline float bf16_to_float(uint16_t bits) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(bits) << 16);
}

// To nearest, ties to even; a NaN stays a (quiet) NaN.
[[gnu::always_inline]] inline uint16_t float_to_bf16(float value) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// IEEE 754 binary16; subnormals are exact.
[[gnu::always_inline]] inline float f16_to_float(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t magnitude = bits & 0x7fffu;
  if (magnitude >= 0x7c00u) {  // Infinity or NaN.
    return __builtin_bit_cast(float, sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
  }
  // Move the exponent from bias 15 to bias 127 by a multiplication, which also normalises subnormals.
  const float scaled = __builtin_bit_cast(float, magnitude << 13) * __builtin_bit_cast(float, 0x77800000u);  // 2^112
  return __builtin_bit_cast(float, __builtin_bit_cast(uint32_t, scaled) | sign);
}

// To nearest, ties to even, subnormals included; beyond 65504 an infinity; a NaN stays a (quiet) NaN.
[[gnu::always_inline]] inline uint16_t float_to_f16(float value) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // 65520, half way past the largest.
  if (magnitude < 0x38800000u) {
    // Below 2^-14 a step is 2^-24: adding 0.5, whose last bit is that, rounds to it.
    const float shifted = __builtin_bit_cast(float, magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (__builtin_bit_cast(uint32_t, shifted) - 0x3f000000u));
  }
  // The exponent's bias goes from 127 to 15, and 13 bits of the fraction go.
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

}  // namespace remuda
