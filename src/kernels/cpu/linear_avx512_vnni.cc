#include "kernels/cpu/linear_int8_impl.h"
#include "kernels/cpu/simd_avx512.h"

namespace remuda::kernels {
namespace {

// vpdpbusd multiplies groups of four unsigned by four signed bytes and adds them exactly. Inputs get 128 added to be
// unsigned; the sums begin with -128 times the sum of an output's weights to take it away again.
struct VnniInt8 {
  using Float = Avx512Vec;
  using Input = uint8_t;
  static constexpr int kGroup = 4;
  static constexpr int kInputOffset = 128;

  using Sums = __m512i;
  using Operand = __m512i;

  static Sums load_sums(const int32_t* p) { return _mm512_loadu_si512(p); }
  static Operand load(const int8_t* p) { return _mm512_load_si512(p); }
  static Operand broadcast(const std::byte* p) {
    int32_t group;
    __builtin_memcpy(&group, p, sizeof(group));
    return _mm512_set1_epi32(group);
  }
  static Sums multiply_add(Sums sums, Operand inputs, Operand weights) {
    // Not the intrinsic: GCC 12 copies its sums through the stack, at half the speed.
    asm("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(inputs), "v"(weights));
    return sums;
  }
  template <typename Byte>
  static void store(Avx512Vec integers, Byte* to) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(integers.v)));
  }
  static Avx512Vec to_float(Sums sums) { return {_mm512_cvtepi32_ps(sums)}; }
};

}  // namespace

const LinearKernels kInt8Avx512Vnni = Int8Group<VnniInt8>::kernels();

}  // namespace remuda::kernels
