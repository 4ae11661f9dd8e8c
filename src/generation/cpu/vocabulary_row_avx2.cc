#include "generation/cpu/vocabulary_row_impl.h"
#include "kernels/cpu/simd_avx2.h"

namespace remuda {

const VocabularyRowKernels kVocabularyRowAvx2 = vocabulary_row_kernels<kernels::Avx2Vec>();

}  // namespace remuda
