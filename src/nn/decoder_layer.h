// A post-norm transformer decoder layer with cross-attention (Vaswani et al. 2017, section 3.1; as in BART), computed
// one position at a time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nn/kv_cache.h"
#include "nn/layers.h"

namespace remuda::nn {

// The sequences of one document in a step: rows [first_row, first_row + cache->rows()).
struct DecoderSequences {
  int64_t first_row = 0;
  KvCache* cache = nullptr;                                    // Advanced to this step's position.
  std::span<const kernels::PackedKeysValues> cross_attention;  // One a layer.
};

struct DecoderLayer {
  kernels::AttentionShape heads;
  Linear query_key_value;  // hidden -> 3 * hidden
  Linear attention_output;
  LayerNorm attention_norm;
  Linear cross_query;
  Linear cross_key_value;  // The encoder's output -> 2 * hidden; once a document, not in forward().
  Linear cross_output;
  LayerNorm cross_norm;
  Linear intermediate;
  ActivationFunction activation = ActivationFunction::kGelu;
  Linear output;
  LayerNorm output_norm;

  // Replaces `hidden`, [rows, hidden_size], by the layer's output, and appends to the caches; this is layer number
  // `layer`. `scratch` has rows of 4 * hidden size or the inner size. The rows of `sequences` follow each other and are
  // all there are.
  void forward(int64_t layer, std::span<const DecoderSequences> sequences, MatrixView<float> hidden,
               MatrixView<float> scratch, ComputePool& pool) const;

  size_t bytes() const;

 private:
  void attend_to_itself(int64_t layer, std::span<const DecoderSequences> sequences, MatrixView<float> hidden,
                        MatrixView<float> scratch, ComputePool& pool) const;
  void attend_to_document(int64_t layer, std::span<const DecoderSequences> sequences, MatrixView<float> hidden,
                          MatrixView<float> scratch, ComputePool& pool) const;
};

}  // namespace remuda::nn
