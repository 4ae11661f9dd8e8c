// Passes over one row of scores, a float a token of the vocabulary, for one instruction set.
#pragma once

#include <cstdint>

namespace remuda {

struct VocabularyRowKernels {
  // The greatest element; x must have one. Unspecified where there are NaNs.
  float (*max)(const float* x, int64_t n);
  // The sum of e^(x - max); a NaN where there is one among x, or max is infinite.
  float (*sum_exp)(const float* x, int64_t n, float max);
  // out = (x - max) - log_sum; out may be x.
  void (*shift)(const float* x, int64_t n, float max, float log_sum, float* out);
  // The first i >= begin with x[i] + offset > threshold; n where there is none.
  int64_t (*find_above)(const float* x, int64_t begin, int64_t n, float offset, float threshold);
};

extern const VocabularyRowKernels kVocabularyRowGeneric;
extern const VocabularyRowKernels kVocabularyRowAvx2;  // All nullptr where the build is not for x86.
extern const VocabularyRowKernels kVocabularyRowAvx512;

}  // namespace remuda
