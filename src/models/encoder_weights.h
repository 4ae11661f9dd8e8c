// Which tensor of a checkpoint is which parameter of an encoder, for each architecture.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "io/checkpoint.h"
#include "io/model_directory.h"
#include "models/weight_reader.h"
#include "nn/encoder_layer.h"

namespace remuda::models {

// Names without the checkpoint's prefix; those of a layer are relative to `layer`, whose {} is the layer's
// number.
struct EncoderNames {
  std::string_view model_type;
  std::string_view prefix;  // Of names in a checkpoint saved with a task head, for example "bert.".
  std::string_view layer;
  std::string_view query, key, value, attention_output, attention_norm;
  std::string_view intermediate, output, output_norm;
};

// A layer's parameters as the checkpoint has them: matrices are views of it, [out_features, in_features], F64 as F32.
struct EncoderLayerTensors {
  TensorView query, key, value, attention_output, intermediate, output;
  FloatTensor query_bias, key_bias, value_bias, attention_output_bias, intermediate_bias, output_bias;
  nn::LayerNorm attention_norm, output_norm;
};

// Reads an encoder's parameters from a checkpoint. Each getter throws Error(kInvalidFile) naming the file,
// the tensor, and the shapes expected and found.
class EncoderWeights {
 public:
  // `packed` is as for WeightReader. Throws Error(kUnsupported) listing the known types when config.model_type is none
  // of them.
  EncoderWeights(const io::EncoderConfig& config, const io::Checkpoint& checkpoint, io::PackedFile* packed = nullptr);

  TensorView word_embeddings() const;
  // [max_positions, hidden_size], with the vector of token type 0 added to each row where there are token
  // types.
  FloatTensor position_embeddings() const;
  nn::LayerNorm embedding_norm() const;
  // [kRelativeBuckets, num_heads]: what of the table transformers uses.
  FloatTensor relative_attention_bias() const;
  nn::EncoderLayer layer(int64_t index, Precision precision, ComputePool& pool) const;
  // The same, not packed.
  EncoderLayerTensors layer_tensors(int64_t index) const;

 private:
  nn::LayerNorm layer_norm(const std::string& name) const;

  const io::EncoderConfig& config_;
  const EncoderNames& names_;
  const WeightReader reader_;
};

}  // namespace remuda::models
