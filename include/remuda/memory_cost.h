// What a model costs in memory.
#pragma once

#include <cstdint>

namespace remuda {

// Bytes that the weights take in memory at a precision, once for all instances, and that the workspace of one computing
// instance takes.
struct MemoryCost {
  uint64_t shared_weights = 0;
  uint64_t workspace = 0;
};

}  // namespace remuda
