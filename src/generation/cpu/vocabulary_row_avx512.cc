#include "generation/cpu/vocabulary_row_impl.h"
#include "kernels/cpu/simd_avx512.h"

namespace remuda {

const VocabularyRowKernels kVocabularyRowAvx512 = vocabulary_row_kernels<kernels::Avx512Vec>();

}  // namespace remuda
