// What a model costs in memory.
#pragma once

#include <cstdint>

namespace remuda {

// Bytes at a precision, known before anything is loaded.
struct MemoryCost {
  uint64_t shared_weights =
      0;                   // Once for all instances, with the tokenizer and with what is read where files are mapped.
  uint64_t workspace = 0;  // Of one instance while it computes.
  uint64_t loading = 0;    // Beside the weights while they are packed, which is once for a model, not for a load.
};

}  // namespace remuda
