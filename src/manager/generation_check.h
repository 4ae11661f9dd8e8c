// Options of a generation checked without a model, for tests that have none.
#pragma once

#include <cstdint>

#include "remuda/generation_options.h"

namespace remuda {

// Throws what a summary with these options would throw before anything is computed, of a BART with BART's vocabulary
// and so many positions.
void check_generation(const GenerationOptions& options, int64_t max_positions);

}  // namespace remuda
