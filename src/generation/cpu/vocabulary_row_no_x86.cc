// What a build for another processor has in place of the x86 passes: available_isas() never offers them there.
#include "generation/cpu/vocabulary_row.h"

namespace remuda {

const VocabularyRowKernels kVocabularyRowAvx2 = {};
const VocabularyRowKernels kVocabularyRowAvx512 = {};

}  // namespace remuda
