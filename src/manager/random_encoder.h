// Encoders with random weights, of any size, as directories that a manager loads.
#pragma once

#include <filesystem>
#include <string>

#include "base/scratch_directory.h"
#include "models/random_weights.h"
#include "remuda/settings.h"

namespace remuda {

struct RandomEncoderShape {
  int64_t layers = 2;
  int64_t hidden = 64;
  int64_t inner = 256;
};

// A BERT with the vocabulary of a golden one. Removed with the object.
class RandomEncoder {
 public:
  explicit RandomEncoder(const RandomEncoderShape& shape) {
    const auto golden = std::filesystem::path(REMUDA_SOURCE_DIR) / "tests/golden/encoders/bert_mean/tokenizer.json";
    std::filesystem::copy(golden, scratch_.path() / "tokenizer.json");
    scratch_.write("config.json",
                   R"({"model_type": "bert", "hidden_act": "gelu", "layer_norm_eps": 1e-12, "pad_token_id": 0,)"
                   R"( "max_position_embeddings": 160, "type_vocab_size": 2, "vocab_size": 165, "hidden_size": )" +
                       std::to_string(shape.hidden) + R"(, "intermediate_size": )" + std::to_string(shape.inner) +
                       R"(, "num_attention_heads": 8, "num_hidden_layers": )" + std::to_string(shape.layers) + "}");
    write_random_weights(scratch_.path(), tensors_of(shape), static_cast<unsigned>(shape.layers));
  }

  std::string path() const { return scratch_.path().string(); }
  Settings settings() const {
    Settings settings;
    settings.embedding_model = path();
    return settings;
  }

 private:
  static RandomTensors tensors_of(const RandomEncoderShape& shape) {
    RandomTensors tensors = {{"embeddings.word_embeddings.weight", {165, shape.hidden}},
                             {"embeddings.position_embeddings.weight", {160, shape.hidden}},
                             {"embeddings.token_type_embeddings.weight", {2, shape.hidden}}};
    add_norm(tensors, "embeddings.LayerNorm", shape.hidden);
    for (int64_t i = 0; i < shape.layers; ++i) {
      const std::string layer = "encoder.layer." + std::to_string(i);
      for (const char* part : {"query", "key", "value"}) {
        add_linear(tensors, layer + ".attention.self." + part, shape.hidden, shape.hidden);
      }
      add_linear(tensors, layer + ".attention.output.dense", shape.hidden, shape.hidden);
      add_norm(tensors, layer + ".attention.output.LayerNorm", shape.hidden);
      add_linear(tensors, layer + ".intermediate.dense", shape.inner, shape.hidden);
      add_linear(tensors, layer + ".output.dense", shape.hidden, shape.inner);
      add_norm(tensors, layer + ".output.LayerNorm", shape.hidden);
    }
    return tensors;
  }

  const ScratchDirectory scratch_;
};

}  // namespace remuda
