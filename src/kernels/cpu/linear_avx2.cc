#include "kernels/cpu/linear_int8_impl.h"
#include "kernels/cpu/simd_avx2.h"

namespace remuda::kernels {
namespace {

// AVX2 multiplies 16-bit pairs and adds them exactly (vpmaddwd); 8-bit pairs (vpmaddubsw) it would saturate. So
// weights are kept in 8 bits, which is what memory sees, and widened on their way into registers.
struct Avx2Int8 {
  using Float = Avx2Vec;
  using Input = int16_t;
  static constexpr int kGroup = 2;
  static constexpr int kInputOffset = 0;

  using Sums = __m256i;
  using Operand = __m256i;

  static Sums load_sums(const int32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  static Operand load(const int8_t* p) {
    return _mm256_cvtepi8_epi16(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Operand broadcast(const std::byte* p) {
    int32_t pair;
    __builtin_memcpy(&pair, p, sizeof(pair));
    return _mm256_set1_epi32(pair);
  }
  static Sums multiply_add(Sums sums, Operand inputs, Operand weights) {
    return _mm256_add_epi32(sums, _mm256_madd_epi16(inputs, weights));
  }
  static __m128i to_int16(Avx2Vec integers) {
    const __m256i wide = _mm256_cvtps_epi32(integers.v);
    return _mm_packs_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
  }
  static void store(Avx2Vec integers, int8_t* to) {
    const __m128i narrow = to_int16(integers);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packs_epi16(narrow, narrow));
  }
  static void store(Avx2Vec integers, int16_t* to) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), to_int16(integers));
  }
  static Avx2Vec to_float(Sums sums) { return {_mm256_cvtepi32_ps(sums)}; }
};

}  // namespace

const LinearKernelSet kLinearAvx2 = {
    .fp32 = float_kernels<Avx2Vec, StoredFp32>(),
    .bf16 = float_kernels<Avx2Vec, StoredBf16>(),
    .int8 = Int8Group<Avx2Int8>::kernels(),
};

}  // namespace remuda::kernels
