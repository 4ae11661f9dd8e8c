// Which tensor of a checkpoint is which parameter of BART.
#pragma once

#include <string>

#include "io/bart_config.h"
#include "models/encoder_weights.h"
#include "models/weight_reader.h"
#include "nn/decoder_layer.h"
#include "nn/encoder_layer.h"

namespace remuda::models {

// What lies before the layers of the encoder or of the decoder.
struct BartEmbedding {
  TensorView tokens;      // [vocab_size, d_model], of the checkpoint.
  FloatTensor positions;  // [max_position_embeddings + kPositionOffset, d_model]
  nn::LayerNorm norm;

  // Position p has row p + 2: BART's first two rows were for padding.
  static constexpr int64_t kPositionOffset = 2;

  size_t bytes() const { return positions.bytes() + norm.bytes(); }
};

// A decoder layer's parameters as the checkpoint has them, and an encoder layer's, which has nothing of `cross`.
struct BartLayerTensors {
  EncoderLayerTensors own;
  TensorView cross_query, cross_key, cross_value, cross_output;
  FloatTensor cross_query_bias, cross_key_bias, cross_value_bias, cross_output_bias;
  nn::LayerNorm cross_norm;
};

// Reads the parameters from a checkpoint of BartForConditionalGeneration or of BartModel, as BartConfig describes them.
// Each getter throws Error(kInvalidFile) naming the file, the tensor, and the shapes expected and found.
class BartWeights {
 public:
  // `packed` is as for WeightReader. Warns where the checkpoint has more layers than the configuration.
  BartWeights(const io::BartConfig& config, const io::Checkpoint& checkpoint, io::PackedFile* packed = nullptr);

  BartEmbedding encoder_embedding() const { return embedding("encoder"); }
  BartEmbedding decoder_embedding() const { return embedding("decoder"); }
  nn::EncoderLayer encoder_layer(int64_t index, Precision precision, ComputePool& pool) const;
  nn::DecoderLayer decoder_layer(int64_t index, Precision precision, ComputePool& pool) const;
  // The same, not packed.
  BartLayerTensors encoder_layer_tensors(int64_t index) const { return layer_tensors("encoder", index); }
  BartLayerTensors decoder_layer_tensors(int64_t index) const { return layer_tensors("decoder", index); }
  // From the decoder's output to logits: [vocab_size, d_model], final_logits_bias its bias.
  nn::Linear output(Precision precision, ComputePool& pool) const;
  // The same, not packed, and its bias, which is empty where there is none.
  TensorView output_tensor() const;
  FloatTensor output_bias() const;

 private:
  BartEmbedding embedding(const std::string& side) const;
  BartLayerTensors layer_tensors(const std::string& side, int64_t index) const;
  // As the checkpoint has it, with its prefix: the tensor for one of the names that are tied.
  std::string tied_name(const std::string& own) const;
  std::string head_name() const;
  void check_layers(const std::string& side, int64_t layers) const;
  nn::LayerNorm norm(const std::string& name) const;

  const io::BartConfig& config_;
  const io::Checkpoint& checkpoint_;
  const WeightReader reader_;  // Of what belongs to BartModel.
  const WeightReader head_;    // Of what BartForConditionalGeneration adds, and of names with their prefix.
};

// Throws what reading the weights would for a tensor that is missing or has another shape than the configuration says.
void check_tensors(const io::BartConfig& config, const io::Checkpoint& checkpoint);

}  // namespace remuda::models
