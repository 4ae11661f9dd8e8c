// From an instruction set to its row-wise kernels.
#pragma once

#include "kernels/cpu/rowwise.h"
#include "kernels/isa.h"

namespace remuda::kernels {

inline const RowwiseKernels& rowwise_kernels(Isa isa) {
  switch (isa) {
    case Isa::kGeneric:
      return kRowwiseGeneric;
    case Isa::kAvx2:
      return kRowwiseAvx2;
    case Isa::kAvx512:
    case Isa::kAvx512Vnni:
    case Isa::kAvx512Bf16:
      return kRowwiseAvx512;
  }
  return kRowwiseGeneric;
}

}  // namespace remuda::kernels
