// What models take, estimated from their shapes before anything is loaded.
#include "remuda/memory_cost.h"

#include <algorithm>

#include "remuda/embedding_model_manager.h"
#include "remuda/summarization_model_manager.h"

namespace remuda {
namespace {

// Weight bytes of a product with `out` outputs of `in` inputs, bias in fp32. Panels are padded to 16 or 64
// outputs; at the sizes of real models that is nothing.
uint64_t linear_bytes(int64_t out, int64_t in, Precision precision) {
  const int64_t element = precision == Precision::kFp32 ? 4 : precision == Precision::kBf16 ? 2 : 1;
  const int64_t per_channel = precision == Precision::kInt8 ? 8 : 0;  // The scale, and the sum of the weights.
  return static_cast<uint64_t>(out * (in * element + per_channel + 4));
}

// Of a transformer's layer without its norms: a product for query, key and value and one for the output of each of
// `attentions`, and the two of the inner layer.
uint64_t layer_bytes(int64_t hidden, int64_t inner, int64_t attentions, Precision precision) {
  return static_cast<uint64_t>(attentions) *
             (linear_bytes(3 * hidden, hidden, precision) + linear_bytes(hidden, hidden, precision)) +
         linear_bytes(inner, hidden, precision) + linear_bytes(hidden, inner, precision);
}

}  // namespace

MemoryCost estimate_memory(const EmbeddingModelInfo& info, Precision precision, int64_t max_batch_tokens) {
  const int64_t hidden = info.hidden_size;
  const int64_t inner = info.intermediate_size;
  MemoryCost cost;
  cost.shared_weights = static_cast<uint64_t>(info.num_layers) * layer_bytes(hidden, inner, 1, precision) +
                        static_cast<uint64_t>(info.max_positions * hidden) * sizeof(float);
  const int64_t tokens = std::max(max_batch_tokens, info.max_seq_length);
  // The hidden states, and scratch for query, key, value and context or for the inner layer.
  cost.workspace = static_cast<uint64_t>(tokens * (hidden + std::max(4 * hidden, inner))) * sizeof(float);
  return cost;
}

MemoryCost estimate_memory(const SummarizationModelInfo& info, Precision precision, int64_t max_batch_tokens) {
  const int64_t hidden = info.hidden_size;
  MemoryCost cost;
  cost.shared_weights =
      static_cast<uint64_t>(info.encoder_layers) * layer_bytes(hidden, info.encoder_intermediate_size, 1, precision) +
      static_cast<uint64_t>(info.decoder_layers) * layer_bytes(hidden, info.decoder_intermediate_size, 2, precision) +
      linear_bytes(info.vocab_size, hidden, precision) +
      static_cast<uint64_t>(2 * info.max_positions * hidden) * sizeof(float);
  // Keys and values of every layer for every token that a document or a cache has; and what encoding passes from layer
  // to layer.
  const int64_t element = precision == Precision::kFp32 ? 4 : 2;
  const int64_t inner = std::max(info.encoder_intermediate_size, info.decoder_intermediate_size);
  cost.workspace = static_cast<uint64_t>(max_batch_tokens * 2 * info.decoder_layers * hidden * element) +
                   static_cast<uint64_t>(info.max_positions * (hidden + std::max(4 * hidden, inner))) * sizeof(float);
  return cost;
}

}  // namespace remuda
