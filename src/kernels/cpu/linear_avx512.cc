#include "kernels/cpu/linear_int8_impl.h"
#include "kernels/cpu/simd_avx512.h"

namespace remuda::kernels {
namespace {

// As with AVX2, in 512 bits.
struct Avx512Int8 {
  using Float = Avx512Vec;
  using Input = int16_t;
  static constexpr int kGroup = 2;
  static constexpr int kInputOffset = 0;

  using Sums = __m512i;
  using Operand = __m512i;

  static Sums load_sums(const int32_t* p) { return _mm512_loadu_si512(p); }
  static Operand load(const int8_t* p) {
    return _mm512_cvtepi8_epi16(_mm256_load_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static Operand broadcast(const std::byte* p) {
    int32_t pair;
    __builtin_memcpy(&pair, p, sizeof(pair));
    return _mm512_set1_epi32(pair);
  }
  static Sums multiply_add(Sums sums, Operand inputs, Operand weights) {
    return _mm512_add_epi32(sums, _mm512_madd_epi16(inputs, weights));
  }
  static void store(Avx512Vec integers, int8_t* to) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(integers.v)));
  }
  static void store(Avx512Vec integers, int16_t* to) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(integers.v)));
  }
  static Avx512Vec to_float(Sums sums) { return {_mm512_cvtepi32_ps(sums)}; }
};

}  // namespace

const LinearKernelSet kLinearAvx512 = {
    .fp32 = float_kernels<Avx512Vec, StoredFp32>(),
    .bf16 = float_kernels<Avx512Vec, StoredBf16>(),
    .int8 = Int8Group<Avx512Int8>::kernels(),
};

}  // namespace remuda::kernels
