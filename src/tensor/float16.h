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

}  // namespace remuda
