// Instruction sets of the CPU kernels, chosen once at run time.
#pragma once

#include <string_view>
#include <vector>

namespace remuda::kernels {

// In rising order: each includes those before it.
enum class Isa {
  kGeneric,     // Portable C++, whatever the machine.
  kAvx2,        // AVX2, FMA, F16C.
  kAvx512,      // AVX-512 F, BW, DQ, VL.
  kAvx512Vnni,  // and VNNI (int8).
  kAvx512Bf16,  // and BF16.
};

// "generic", "avx2", "avx512", "avx512_vnni", "avx512_bf16".
std::string_view to_string(Isa isa);

// Every instruction set that this machine can run, in rising order; kGeneric is always there.
std::vector<Isa> available_isas();

// The one of `available`, in rising order, that `wanted` names; the last when it is nullptr or empty. Throws as
// active_isa() does.
Isa choose_isa(const char* wanted, const std::vector<Isa>& available);

// The one in use: the best available, or the one that REMUDA_ISA names. Throws Error(kInvalidArgument) when
// the variable names an unknown one or one that the machine lacks.
Isa active_isa();

}  // namespace remuda::kernels
