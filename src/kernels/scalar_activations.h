// Activations that few models have, an element at a time.
#pragma once

#include <cstdint>

#include "base/activations.h"

namespace remuda::kernels {

// For those that have no kernel in any instruction set. Of kClippedGelu it is the clipping alone.
void apply_scalar(ActivationFunction function, float* x, int64_t n);

}  // namespace remuda::kernels
