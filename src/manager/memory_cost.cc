// What models take, estimated from their shapes before anything is loaded.
#include "remuda/memory_cost.h"

#include <algorithm>

#include "remuda/embedding_model_manager.h"
#include "remuda/summarization_model_manager.h"

namespace remuda {
namespace {

constexpr int64_t kFloat = sizeof(float);

// Outputs are packed in panels; the last one is filled up.
constexpr int64_t kPanelOutputs = 64;

// Of the vocabulary and what finds a text's tokens in it.
constexpr int64_t kTokenizerBytesByToken = 100;

// A layer's product, [out, in]; what packing it takes for a while is the matrix as the checkpoint has it and a copy.
struct Product {
  int64_t out = 0;
  int64_t in = 0;

  // Bias in fp32; int8 has a scale and the sum of the weights for each output.
  int64_t bytes(Precision precision) const {
    const int64_t element = precision == Precision::kFp32 ? 4 : precision == Precision::kBf16 ? 2 : 1;
    const int64_t by_output = precision == Precision::kInt8 ? 8 : 0;
    const int64_t packed_out = (out + kPanelOutputs - 1) / kPanelOutputs * kPanelOutputs;
    return packed_out * (in * element + by_output) + out * kFloat;
  }
  int64_t loading_bytes(Precision precision) const { return out * in * kFloat + bytes(precision); }
};

// Of a transformer's layer: a product for query, key and value and one for the output of each of `attentions`, and the
// two of the inner layer; a norm after each.
struct Layer {
  int64_t hidden = 0;
  int64_t inner = 0;
  int64_t attentions = 1;

  Product inner_product() const { return {inner, hidden}; }
  Product query_key_value() const { return {3 * hidden, hidden}; }
  int64_t bytes(Precision precision) const {
    const int64_t attention = query_key_value().bytes(precision) + Product{hidden, hidden}.bytes(precision);
    const int64_t norms = (attentions + 1) * 2 * hidden * kFloat;
    return attentions * attention + inner_product().bytes(precision) + Product{hidden, inner}.bytes(precision) + norms;
  }
  int64_t loading_bytes(Precision precision) const {
    return std::max(inner_product().loading_bytes(precision), query_key_value().loading_bytes(precision));
  }
};

// Of a row on its way through a layer: the hidden state, and scratch for query, key, value and context or for the inner
// layer; products in reduced precisions have their inputs beside that, prepared.
int64_t row_bytes(int64_t hidden, int64_t inner, Precision precision) {
  const int64_t prepared = precision == Precision::kFp32 ? 0 : precision == Precision::kBf16 ? 2 : 1;
  return (hidden + std::max(4 * hidden, inner)) * kFloat + std::max(hidden, inner) * prepared;
}

// Of an element of the checkpoint.
double element_bytes(uint64_t file_bytes, int64_t parameters) {
  return parameters > 0 ? static_cast<double>(file_bytes) / static_cast<double>(parameters) : kFloat;
}

}  // namespace

MemoryCost estimate_memory(const EmbeddingModelInfo& info, Precision precision, int64_t max_batch_tokens) {
  const Layer layer{info.hidden_size, info.intermediate_size};
  // Rows of the table are read where the file is mapped.
  const double table =
      static_cast<double>(info.vocab_size * info.hidden_size) * element_bytes(info.file_bytes, info.parameters);
  MemoryCost cost;
  cost.shared_weights =
      static_cast<uint64_t>(info.num_layers * layer.bytes(precision) + info.max_positions * info.hidden_size * kFloat +
                            info.vocab_size * kTokenizerBytesByToken) +
      static_cast<uint64_t>(table);
  cost.workspace = static_cast<uint64_t>(std::max(max_batch_tokens, info.max_seq_length) *
                                         row_bytes(info.hidden_size, info.intermediate_size, precision));
  cost.loading = static_cast<uint64_t>(layer.loading_bytes(precision));
  return cost;
}

MemoryCost estimate_memory(const SummarizationModelInfo& info, Precision precision, int64_t max_batch_tokens) {
  const int64_t hidden = info.hidden_size;
  const Layer encoder{hidden, info.encoder_intermediate_size};
  const Layer decoder{hidden, info.decoder_intermediate_size, 2};
  const Product output{info.vocab_size, hidden};
  MemoryCost cost;
  cost.shared_weights = static_cast<uint64_t>(
      info.encoder_layers * encoder.bytes(precision) + info.decoder_layers * decoder.bytes(precision) +
      output.bytes(precision) + 2 * info.max_positions * hidden * kFloat + info.vocab_size * kTokenizerBytesByToken);
  // Keys and values of every layer for every token that a document or a cache has; and what encoding passes from layer
  // to layer.
  const int64_t element = precision == Precision::kFp32 ? 4 : 2;
  const int64_t inner = std::max(info.encoder_intermediate_size, info.decoder_intermediate_size);
  cost.workspace = static_cast<uint64_t>(max_batch_tokens * 2 * info.decoder_layers * hidden * element +
                                         info.max_positions * row_bytes(hidden, inner, precision));
  cost.loading = static_cast<uint64_t>(
      std::max({encoder.loading_bytes(precision), decoder.loading_bytes(precision), output.loading_bytes(precision)}));
  return cost;
}

}  // namespace remuda
