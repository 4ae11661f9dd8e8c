// The forms that numbers are kept in whose arithmetic is done in floats.
#pragma once

#include <cstdint>

#include "tensor/float16.h"

namespace remuda::kernels {
namespace {

template <typename V>
struct StoredFp32 {
  using Element = float;
  static V load(const float* p) { return V::load(p); }
  static V load(const float* p, int count) { return V::load(p, count); }
  static float narrow(float value) { return value; }
};
template <typename V>
struct StoredBf16 {
  using Element = uint16_t;
  static V load(const uint16_t* p) { return V::load_bf16(p); }
  static V load(const uint16_t* p, int count) { return V::load_bf16(p, count); }
  static uint16_t narrow(float value) { return float_to_bf16(value); }
};

}  // namespace
}  // namespace remuda::kernels
