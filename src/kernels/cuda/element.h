// The number formats that GPU kernels read and write; they compute in float.
#pragma once

#include <cstdint>

#include "kernels/cuda/host_device.h"
#include "tensor/float16.h"

namespace remuda::kernels::cuda {

struct Float16 {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

// The same values everywhere: conversions are exact or to nearest, ties to even. On the processor they are those of
// tensor/float16.h, on a GPU single instructions; a NaN stays a NaN, of which bits is not said.
REMUDA_HOST_DEVICE float to_float(float x) { return x; }
REMUDA_HOST_DEVICE float to_float(BFloat16 x) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(static_cast<uint32_t>(x.bits) << 16);
#else
  return bf16_to_float(x.bits);
#endif
}
REMUDA_HOST_DEVICE float to_float(Float16 x) {
#if defined(__CUDA_ARCH__)
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(x.bits));
  return value;
#else
  return f16_to_float(x.bits);
#endif
}

template <class Element>
REMUDA_HOST_DEVICE Element from_float(float x);
template <>
REMUDA_HOST_DEVICE float from_float<float>(float x) {
  return x;
}
template <>
REMUDA_HOST_DEVICE Float16 from_float<Float16>(float x) {
#if defined(__CUDA_ARCH__)
  Float16 value;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(value.bits) : "f"(x));
  return value;
#else
  return {float_to_f16(x)};
#endif
}
template <>
REMUDA_HOST_DEVICE BFloat16 from_float<BFloat16>(float x) {
#if defined(__CUDA_ARCH__)
  BFloat16 value;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(value.bits) : "f"(x));
  return value;
#else
  return {float_to_bf16(x)};
#endif
}

// Two elements of 16 bits in a register, the first in its lower half.
template <class Element>
REMUDA_HOST_DEVICE uint32_t pack(float first, float second) {
  return static_cast<uint32_t>(from_float<Element>(first).bits) |
         (static_cast<uint32_t>(from_float<Element>(second).bits) << 16);
}

// `width` neighbours that are loaded and stored by one instruction.
template <class Element, int width>
struct alignas(sizeof(Element) * width) Vector {
  Element at[width];
};

}  // namespace remuda::kernels::cuda
