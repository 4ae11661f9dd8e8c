// The forms that numbers are kept in whose arithmetic is done in floats. With attention's products (attention_impl.h)
// in mind, each is also how these multiply: kGroup numbers of the inner index at a time, from an Operand that holds one
// group for every lane, and a Scalar that is a group to be multiplied by all of them.
#pragma once

#include <cstdint>

#include "tensor/float16.h"

namespace remuda::kernels {
namespace {

template <typename V>
struct StoredFp32 {
  using Element = float;
  using Scalar = float;
  using Operand = V;
  static constexpr int kGroup = 1;
  static V broadcast(const float* p) { return V::set(*p); }
  static V multiply_add(V a, V b, V sum) { return fma(a, b, sum); }
  static V load(const float* p) { return V::load(p); }
  static V load(const float* p, int count) { return V::load(p, count); }
  static float narrow(float value) { return value; }
};
template <typename V>
struct StoredBf16 {
  using Element = uint16_t;
  using Scalar = float;
  using Operand = V;
  static constexpr int kGroup = 1;
  static V broadcast(const float* p) { return V::set(*p); }
  static V multiply_add(V a, V b, V sum) { return fma(a, b, sum); }
  static V load(const uint16_t* p) { return V::load_bf16(p); }
  static V load(const uint16_t* p, int count) { return V::load_bf16(p, count); }
  static uint16_t narrow(float value) { return float_to_bf16(value); }
};

}  // namespace
}  // namespace remuda::kernels
