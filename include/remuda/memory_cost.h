// What a model costs in memory.
#pragma once

#include <cstdint>

namespace remuda {

// Bytes at a precision, known before anything is loaded: on a CPU within a tenth of what is then counted and taken. On
// a GPU there lie the weights, tables of embeddings included, and intermediate results, both in elements of the
// precision, and nothing of the tokenizer; nothing is packed there.
struct MemoryCost {
  uint64_t shared_weights =
      0;                   // Once for all instances, with the tokenizer and with what is read where files are mapped.
  uint64_t workspace = 0;  // Of one instance while it computes, documents and their sequences included.
  uint64_t loading = 0;    // Beside the weights while they are packed, which is once for a model, not for a load; on a
                           // GPU, while they are loaded.
  // Models that generate: bytes of a document that fills the window, with the cache of its sequences, and encoding it
  // or a step of its own, whichever is more; on a CPU, with the weights, a limit that is enough for one after the
  // other. And of that, the cache of one sequence (beam) of the greatest length. Sequences and length are the
  // checkpoint's defaults.
  uint64_t document = 0;
  uint64_t sequence = 0;
};

}  // namespace remuda
