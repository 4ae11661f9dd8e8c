#include "models/transformer_encoder.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "models/encoder_weights.h"
#include "nn/relative_bias.h"

namespace remuda::models {

void encode_in_parts(const RaggedIds& batch, int64_t max_tokens,
                     const std::function<void(const RaggedIds& part, size_t first)>& encode) {
  const auto sequences = static_cast<size_t>(batch.sequences());
  std::vector<int64_t> offsets;
  for (size_t first = 0; first < sequences;) {
    const int64_t begin = batch.offsets[first];
    offsets.assign(1, 0);
    size_t last = first;
    do {
      offsets.push_back(batch.offsets[++last] - begin);
    } while (last < sequences && batch.offsets[last + 1] - begin <= max_tokens);
    encode({batch.ids.subspan(static_cast<size_t>(begin), static_cast<size_t>(offsets.back())), offsets}, first);
    first = last;
  }
}

std::vector<int32_t> position_ids(const io::EncoderConfig& config, const RaggedIds& batch) {
  const bool pads_have_own_position = config.first_position > 0;
  std::vector<int32_t> positions;
  positions.reserve(batch.ids.size());
  for (int64_t s = 0; s < batch.sequences(); ++s) {
    int64_t next = config.first_position;
    for (int64_t t = batch.offsets[s]; t < batch.offsets[s + 1]; ++t) {
      const bool is_pad = pads_have_own_position && batch.ids[t] == config.pad_token_id;
      positions.push_back(static_cast<int32_t>(is_pad ? config.pad_token_id : next++));
    }
  }
  return positions;
}

TransformerEncoder::TransformerEncoder(const io::EncoderConfig& config,
                                       std::shared_ptr<const io::Checkpoint> checkpoint, Precision precision,
                                       ComputePool& pool, std::shared_ptr<io::PackedFile> packed)
    : config_(config), checkpoint_(std::move(checkpoint)), packed_(std::move(packed)) {
  const EncoderWeights weights(config_, *checkpoint_, packed_.get());
  word_embeddings_ = weights.word_embeddings();
  position_embeddings_ = weights.position_embeddings();
  embedding_norm_ = weights.embedding_norm();
  if (config_.relative_attention_num_buckets > 0) {
    relative_bias_ = nn::spread_relative_bias(weights.relative_attention_bias(), config_.max_positions - 1);
  }
  layers_.reserve(static_cast<size_t>(config_.num_layers));
  for (int64_t i = 0; i < config_.num_layers; ++i) {
    layers_.push_back(weights.layer(i, precision, pool));
    // Reading biases and norms has mapped pages of what lies beside them, a megabyte a layer.
    checkpoint_->drop_pages();
  }
}

size_t TransformerEncoder::bytes() const {
  return std::accumulate(
      layers_.begin(), layers_.end(),
      word_embeddings_.bytes() + position_embeddings_.bytes() + embedding_norm_.bytes() + relative_bias_.bytes(),
      [](size_t sum, const nn::EncoderLayer& layer) { return sum + layer.bytes(); });
}

size_t TransformerEncoder::mapped_bytes() const {
  return word_embeddings_.bytes() + (packed_ == nullptr ? 0 : packed_->bytes());
}

int64_t TransformerEncoder::scratch_size() const { return layers_.empty() ? 0 : layers_.front().scratch_size(); }

size_t TransformerEncoder::prepared_bytes(int64_t rows) const {
  if (layers_.empty()) return 0;
  const kernels::PackedWeights& output = layers_.front().output.weights;
  const int64_t most = std::max(config_.hidden_size, output.in_features());
  return kernels::prepared_bytes(output.precision(), rows, most, output.isa());
}

void TransformerEncoder::forward(const RaggedIds& batch, MatrixView<float> hidden, MatrixView<float> scratch,
                                 ComputePool& pool, const std::function<void(int64_t layer)>& after_layer) const {
  embed(batch, hidden, pool);
  if (after_layer) after_layer(0);
  nn::RaggedBatch ragged{batch.offsets, {}};
  if (relative_bias_.size() > 0) {
    ragged.relative_bias = {relative_bias_.data(), relative_bias_.shape()[0], relative_bias_.shape()[1]};
  }
  for (size_t i = 0; i < layers_.size(); ++i) {
    layers_[i].forward(ragged, hidden, scratch, pool);
    if (after_layer) after_layer(static_cast<int64_t>(i) + 1);
  }
}

void TransformerEncoder::embed(const RaggedIds& batch, MatrixView<float> hidden, ComputePool& pool) const {
  const std::vector<int32_t> positions = position_ids(config_, batch);
  const std::array added = {
      kernels::AddedRows{{position_embeddings_.data(), config_.max_positions, config_.hidden_size}, positions}};
  // The rows are read where the file is mapped. Looked at before, since a file that was cut would end the process, and
  // after, since a row that was overwritten meanwhile would be an answer of neither version.
  checkpoint_->check_unwritten();
  kernels::gather_rows(word_embeddings_, batch.ids, added, hidden, pool);
  checkpoint_->check_unwritten();
  embedding_norm_.forward_in_place(hidden, pool);
}

}  // namespace remuda::models
