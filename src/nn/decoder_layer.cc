#include "nn/decoder_layer.h"

#include <cmath>

namespace remuda::nn {
namespace {

float score_scale(kernels::AttentionShape heads) { return 1.0f / std::sqrt(static_cast<float>(heads.head_dim)); }

}  // namespace

void DecoderLayer::forward(int64_t layer, std::span<const DecoderSequences> sequences, MatrixView<float> hidden,
                           MatrixView<float> scratch, ComputePool& pool) const {
  attend_to_itself(layer, sequences, hidden, scratch, pool);
  attend_to_document(layer, sequences, hidden, scratch, pool);
  const MatrixView<float> inner = scratch.slice_cols(0, intermediate.weights.out_features());
  intermediate.forward(hidden, inner, pool, activation);
  output.forward(inner, hidden, pool, kernels::Activation::kNone, hidden);
  output_norm.forward_in_place(hidden, pool);
}

void DecoderLayer::attend_to_itself(int64_t layer, std::span<const DecoderSequences> sequences,
                                    MatrixView<float> hidden, MatrixView<float> scratch, ComputePool& pool) const {
  const int64_t size = hidden.cols;
  const MatrixView<float> qkv = scratch.slice_cols(0, 3 * size);
  const MatrixView<float> context = scratch.slice_cols(3 * size, size);
  query_key_value.forward(hidden, qkv, pool);
  std::vector<kernels::CachedSequence> cached;
  cached.reserve(static_cast<size_t>(hidden.rows));
  for (const DecoderSequences& s : sequences) {
    const int64_t rows = s.cache->rows();
    const MatrixView<float> own = qkv.slice_rows(s.first_row, rows);
    s.cache->append(layer, own.slice_cols(size, size), own.slice_cols(2 * size, size));
    for (int64_t row = 0; row < rows; ++row) cached.push_back(s.cache->sequence(layer, row));
  }
  kernels::attend_cached(qkv.slice_cols(0, size), cached, heads, sequences.front().cache->shape().stored,
                         score_scale(heads), context, pool);
  attention_output.forward(context, hidden, pool, kernels::Activation::kNone, hidden);
  attention_norm.forward_in_place(hidden, pool);
}

void DecoderLayer::attend_to_document(int64_t layer, std::span<const DecoderSequences> sequences,
                                      MatrixView<float> hidden, MatrixView<float> scratch, ComputePool& pool) const {
  const int64_t size = hidden.cols;
  const MatrixView<float> query = scratch.slice_cols(0, size);
  const MatrixView<float> context = scratch.slice_cols(size, size);
  cross_query.forward(hidden, query, pool);
  std::vector<kernels::PackedQueries> blocks;
  blocks.reserve(sequences.size());
  for (const DecoderSequences& s : sequences) {
    blocks.push_back({s.first_row, s.cache->rows(), &s.cross_attention[static_cast<size_t>(layer)]});
  }
  kernels::attend_packed(query, blocks, score_scale(heads), context, pool);
  cross_output.forward(context, hidden, pool, kernels::Activation::kNone, hidden);
  cross_norm.forward_in_place(hidden, pool);
}

size_t DecoderLayer::bytes() const {
  size_t sum = 0;
  for (const Linear* linear :
       {&query_key_value, &attention_output, &cross_query, &cross_key_value, &cross_output, &intermediate, &output}) {
    sum += linear->bytes();
  }
  return sum + attention_norm.bytes() + cross_norm.bytes() + output_norm.bytes();
}

}  // namespace remuda::nn
