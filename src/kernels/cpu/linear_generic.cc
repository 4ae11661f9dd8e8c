#include "kernels/cpu/linear_int8_impl.h"
#include "kernels/cpu/simd_generic.h"

namespace remuda::kernels {
namespace {

// Pairs of int16 inputs and int8 weights, as the other instruction sets have them.
struct GenericInt8 {
  using Float = GenericVec;
  using Input = int16_t;
  static constexpr int kGroup = 2;
  static constexpr int kInputOffset = 0;

  using Sums = int32_t __attribute__((vector_size(16)));
  struct Operand {
    Sums even;
    Sums odd;
  };

  static Sums load_sums(const int32_t* p) {
    Sums sums;
    __builtin_memcpy(&sums, p, sizeof(sums));
    return sums;
  }
  static Operand load(const int8_t* p) {
    Operand weights;
    for (int i = 0; i < GenericVec::kWidth; ++i) {
      weights.even[i] = p[2 * i];
      weights.odd[i] = p[2 * i + 1];
    }
    return weights;
  }
  static Operand broadcast(const std::byte* p) {
    int16_t pair[2];
    __builtin_memcpy(pair, p, sizeof(pair));
    return {Sums{} + pair[0], Sums{} + pair[1]};
  }
  static Sums multiply_add(Sums sums, const Operand& inputs, const Operand& weights) {
    return sums + inputs.even * weights.even + inputs.odd * weights.odd;
  }
  template <typename Integer>
  static void store(GenericVec integers, Integer* to) {
    for (int i = 0; i < GenericVec::kWidth; ++i) to[i] = static_cast<Integer>(integers.v[i]);
  }
  static GenericVec to_float(Sums sums) { return {__builtin_convertvector(sums, GenericVec::Native)}; }
};

}  // namespace

const LinearKernelSet kLinearGeneric = {
    .fp32 = float_kernels<GenericVec, StoredFp32>(),
    .bf16 = float_kernels<GenericVec, StoredBf16>(),
    .int8 = Int8Group<GenericInt8>::kernels(),
};

}  // namespace remuda::kernels
