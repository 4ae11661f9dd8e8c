// A post-norm transformer encoder layer, as in BERT (Devlin et al. 2019; Vaswani et al. 2017, section 3.1).
#pragma once

#include <span>

#include "nn/layers.h"
#include "tensor/workspace.h"

namespace remuda::nn {

// Sequences laid end to end: sequence i is the rows [offsets[i], offsets[i + 1]).
struct RaggedBatch {
  std::span<const int64_t> offsets;
  // Added to attention scores by distance; [num_heads, 2 * max_distance + 1], or data == nullptr.
  MatrixView<const float> relative_bias;

  int64_t rows() const { return offsets.back(); }
};

struct EncoderLayer {
  kernels::AttentionShape heads;
  Linear query_key_value;  // hidden -> 3 * hidden
  Linear attention_output;
  LayerNorm attention_norm;
  Linear intermediate;
  ActivationFunction activation = ActivationFunction::kGelu;
  Linear output;
  LayerNorm output_norm;

  // Replaces `hidden`, [batch.rows(), hidden_size], by the layer's output. `scratch` is [batch.rows(),
  // scratch_size()].
  void forward(const RaggedBatch& batch, MatrixView<float> hidden, MatrixView<float> scratch, ComputePool& pool) const;

  int64_t scratch_size() const;
  size_t bytes() const;
};

}  // namespace remuda::nn
