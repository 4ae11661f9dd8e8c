#include "generation/cpu/vocabulary_row_impl.h"
#include "kernels/cpu/simd_generic.h"

namespace remuda {

const VocabularyRowKernels kVocabularyRowGeneric = vocabulary_row_kernels<kernels::GenericVec>();

}  // namespace remuda
