#include "nn/encoder_layer.h"

#include <algorithm>
#include <cmath>

namespace remuda::nn {

void EncoderLayer::forward(const RaggedBatch& batch, MatrixView<float> hidden, MatrixView<float> scratch,
                           ComputePool& pool) const {
  const int64_t size = hidden.cols;
  const MatrixView<float> qkv = scratch.slice_cols(0, 3 * size);
  const MatrixView<float> context = scratch.slice_cols(3 * size, size);
  query_key_value.forward(hidden, qkv, pool);
  const float scale = 1.0f / std::sqrt(static_cast<float>(heads.head_dim));
  // Where weights are rounded, so may what attention multiplies be.
  const bool exact = query_key_value.weights.precision() == Precision::kFp32;
  kernels::attention(qkv.slice_cols(0, size), qkv.slice_cols(size, size), qkv.slice_cols(2 * size, size), batch.offsets,
                     heads, scale, batch.relative_bias, exact ? kernels::StoredAs::kFp32 : kernels::StoredAs::kBf16,
                     context, pool);
  attention_output.forward(context, hidden, pool, kernels::Activation::kNone, hidden);
  attention_norm.forward_in_place(hidden, pool);

  const MatrixView<float> inner = scratch.slice_cols(0, intermediate.weights.out_features());
  intermediate.forward(hidden, inner, pool, activation);
  output.forward(inner, hidden, pool, kernels::Activation::kNone, hidden);
  output_norm.forward_in_place(hidden, pool);
}

int64_t EncoderLayer::scratch_size() const {
  // Query, key, value and context are dead when the feed-forward part begins.
  const int64_t hidden_size = heads.num_heads * heads.head_dim;
  return std::max(4 * hidden_size, intermediate.weights.out_features());
}

size_t EncoderLayer::bytes() const {
  return query_key_value.bytes() + attention_output.bytes() + attention_norm.bytes() + intermediate.bytes() +
         output.bytes() + output_norm.bytes();
}

}  // namespace remuda::nn
