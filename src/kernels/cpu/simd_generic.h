// Four floats in portable C++ (GCC's vector extension): SSE2 on any x86-64, NEON on Arm, scalars elsewhere.
//
// The interface that every simd_*.h has; the algorithms are templates over it, instantiated in one source
// file for each instruction set. Everything is in an unnamed namespace on purpose: code that was compiled for
// an instruction set must not be merged by the linker with code that was compiled without it. For the same
// reason these files, and whatever the sources compiled with special flags include, call nothing inline from
// the standard library.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/float16.h"

namespace remuda::kernels {
namespace {

struct GenericVec {
  using Native = float __attribute__((vector_size(16)));
  using Bits = int32_t __attribute__((vector_size(16)));
  static constexpr int kWidth = 4;
  // A block of kRows x kColumns vectors of sums fits the registers, with room for operands.
  static constexpr int kRows = 4;
  static constexpr int kColumns = 2;

  Native v;

  static GenericVec zero() { return {Native{}}; }
  static GenericVec set(float x) { return {Native{x, x, x, x}}; }
  // At any address, as the other instruction sets' loads; the casts keep memcpy from taking p's type as a promise.
  static GenericVec load(const float* p) {
    GenericVec r;
    __builtin_memcpy(&r.v, static_cast<const void*>(p), sizeof(r.v));
    return r;
  }
  void store(float* p) const { __builtin_memcpy(p, &v, sizeof(v)); }
  // The first `count` (0 to kWidth) elements; the others are zero, and not touched in memory.
  static GenericVec load(const float* p, int count) {
    GenericVec r = zero();
    __builtin_memcpy(&r.v, static_cast<const void*>(p), sizeof(float) * static_cast<size_t>(count));
    return r;
  }
  void store(float* p, int count) const { __builtin_memcpy(p, &v, sizeof(float) * static_cast<size_t>(count)); }
  // The first `count` elements of a; the others are `fill`.
  static GenericVec first(GenericVec a, int count, float fill) {
    for (int i = count; i < kWidth; ++i) a.v[i] = fill;
    return a;
  }
  // From 16-bit formats, little endian, at any address.
  static GenericVec load_f16(const void* p) { return load_f16(p, kWidth); }
  static GenericVec load_f16(const void* p, int count) {
    GenericVec r = zero();
    for (int i = 0; i < count; ++i) r.v[i] = f16_to_float(bits16(p, i));
    return r;
  }
  static GenericVec load_bf16(const void* p) { return load_bf16(p, kWidth); }
  static GenericVec load_bf16(const void* p, int count) {
    GenericVec r = zero();
    for (int i = 0; i < count; ++i) r.v[i] = bf16_to_float(bits16(p, i));
    return r;
  }

  // to[c][r] = from[r][c] for `rows` (1 to kWidth) rows `stride` apart; rows that are missing become zeros. `to` has
  // rows of kWidth.
  static void transpose(const float* from, int64_t stride, int rows, int64_t cols, float* to) {
    int64_t c = 0;
    for (; c + 4 <= cols; c += 4) {
      Native row[4];
      for (int r = 0; r < 4; ++r) row[r] = r < rows ? load(from + r * stride + c).v : Native{};
      const Native a = __builtin_shufflevector(row[0], row[1], 0, 4, 1, 5);
      const Native b = __builtin_shufflevector(row[2], row[3], 0, 4, 1, 5);
      const Native d = __builtin_shufflevector(row[0], row[1], 2, 6, 3, 7);
      const Native e = __builtin_shufflevector(row[2], row[3], 2, 6, 3, 7);
      GenericVec{__builtin_shufflevector(a, b, 0, 1, 4, 5)}.store(to + c * kWidth);
      GenericVec{__builtin_shufflevector(a, b, 2, 3, 6, 7)}.store(to + (c + 1) * kWidth);
      GenericVec{__builtin_shufflevector(d, e, 0, 1, 4, 5)}.store(to + (c + 2) * kWidth);
      GenericVec{__builtin_shufflevector(d, e, 2, 3, 6, 7)}.store(to + (c + 3) * kWidth);
    }
    for (; c < cols; ++c) {
      for (int r = 0; r < kWidth; ++r) to[c * kWidth + r] = r < rows ? from[r * stride + c] : 0.0f;
    }
  }

  friend GenericVec operator+(GenericVec a, GenericVec b) { return {a.v + b.v}; }
  friend GenericVec operator-(GenericVec a, GenericVec b) { return {a.v - b.v}; }
  friend GenericVec operator*(GenericVec a, GenericVec b) { return {a.v * b.v}; }
  friend GenericVec operator/(GenericVec a, GenericVec b) { return {a.v / b.v}; }
  // a * b + c; rounded once where the machine can, which this one need not.
  friend GenericVec fma(GenericVec a, GenericVec b, GenericVec c) { return {a.v * b.v + c.v}; }
  // Like x86: b where either is a NaN.
  friend GenericVec max(GenericVec a, GenericVec b) { return {a.v > b.v ? a.v : b.v}; }
  friend GenericVec min(GenericVec a, GenericVec b) { return {a.v < b.v ? a.v : b.v}; }
  friend GenericVec abs(GenericVec a) { return from_bits(to_bits(a) & 0x7fffffff); }
  // The magnitude of a with the sign of b.
  friend GenericVec copysign(GenericVec a, GenericVec b) {
    return from_bits((to_bits(a) & 0x7fffffff) | (to_bits(b) & static_cast<int32_t>(0x80000000)));
  }
  // a < b ? x : y.
  friend GenericVec select_less(GenericVec a, GenericVec b, GenericVec x, GenericVec y) {
    return {a.v < b.v ? x.v : y.v};
  }
  // To the nearest integer, ties to even; |a| must be less than 2^22.
  friend GenericVec round(GenericVec a) {
    const GenericVec magic = set(12582912.0f);  // 1.5 * 2^23: the sum has no bits left for a fraction.
    return (a + magic) - magic;
  }
  // a * 2^n for integral n in [-151, 128] and a near 1. Where n is below -126 the result is 0 or has lost bits, and for
  // 128 it is infinite.
  friend GenericVec scale_pow2(GenericVec a, GenericVec n) {
    const Bits exponent = __builtin_convertvector(n.v, Bits) + 127;
    return a * from_bits((exponent > 0 ? exponent : Bits{}) << 23);
  }

  // Horizontal, in an order that is fixed for each width.
  float sum() const { return (v[0] + v[2]) + (v[1] + v[3]); }
  float max_element() const {
    const float a = v[0] > v[2] ? v[0] : v[2];
    const float b = v[1] > v[3] ? v[1] : v[3];
    return a > b ? a : b;
  }

 private:
  static Bits to_bits(GenericVec a) { return reinterpret_cast<Bits>(a.v); }
  static GenericVec from_bits(Bits bits) { return {reinterpret_cast<Native>(bits)}; }
  static uint16_t bits16(const void* p, int i) {
    uint16_t bits;
    __builtin_memcpy(&bits, static_cast<const std::byte*>(p) + 2 * i, sizeof(bits));
    return bits;
  }
};

}  // namespace
}  // namespace remuda::kernels
