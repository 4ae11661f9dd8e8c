// Encoders with random weights, of any size, as directories that a manager loads.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/scratch_directory.h"
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
    write_weights(shape);
  }

  std::string path() const { return scratch_.path().string(); }
  Settings settings() const {
    Settings settings;
    settings.embedding_model = path();
    return settings;
  }

 private:
  using Tensors = std::vector<std::pair<std::string, std::vector<int64_t>>>;

  static void add_linear(Tensors& tensors, const std::string& name, int64_t out, int64_t in) {
    tensors.push_back({name + ".weight", {out, in}});
    tensors.push_back({name + ".bias", {out}});
  }
  static void add_norm(Tensors& tensors, const std::string& name, int64_t size) {
    tensors.push_back({name + ".LayerNorm.weight", {size}});
    tensors.push_back({name + ".LayerNorm.bias", {size}});
  }

  static Tensors tensors_of(const RandomEncoderShape& shape) {
    Tensors tensors = {{"embeddings.word_embeddings.weight", {165, shape.hidden}},
                       {"embeddings.position_embeddings.weight", {160, shape.hidden}},
                       {"embeddings.token_type_embeddings.weight", {2, shape.hidden}}};
    add_norm(tensors, "embeddings", shape.hidden);
    for (int64_t i = 0; i < shape.layers; ++i) {
      const std::string layer = "encoder.layer." + std::to_string(i);
      for (const char* part : {"query", "key", "value"}) {
        add_linear(tensors, layer + ".attention.self." + part, shape.hidden, shape.hidden);
      }
      add_linear(tensors, layer + ".attention.output.dense", shape.hidden, shape.hidden);
      add_norm(tensors, layer + ".attention.output", shape.hidden);
      add_linear(tensors, layer + ".intermediate.dense", shape.inner, shape.hidden);
      add_linear(tensors, layer + ".output.dense", shape.hidden, shape.inner);
      add_norm(tensors, layer + ".output", shape.hidden);
    }
    return tensors;
  }

  void write_weights(const RandomEncoderShape& shape) const {
    std::string header = "{";
    uint64_t end = 0;
    for (const auto& [name, sizes] : tensors_of(shape)) {
      uint64_t bytes = sizeof(float);
      std::string dimensions;
      for (const int64_t size : sizes) {
        bytes *= static_cast<uint64_t>(size);
        dimensions += (dimensions.empty() ? "" : ", ") + std::to_string(size);
      }
      header += (header.size() > 1 ? ", \"" : "\"") + name + R"(": {"dtype": "F32", "shape": [)" + dimensions +
                R"(], "data_offsets": [)" + std::to_string(end) + ", " + std::to_string(end + bytes) + "]}";
      end += bytes;
    }
    header += "}";
    header.resize((header.size() + 7) / 8 * 8, ' ');
    std::ofstream file(scratch_.path() / "model.safetensors", std::ios::binary);
    const uint64_t size = header.size();
    file.write(reinterpret_cast<const char*>(&size), sizeof(size));
    file.write(header.data(), static_cast<std::streamsize>(header.size()));
    std::mt19937 random(static_cast<unsigned>(shape.layers));
    std::normal_distribution<float> numbers(0, 0.02f);
    std::vector<float> block(1 << 18);
    std::ranges::generate(block, [&] { return numbers(random); });
    for (uint64_t left = end; left > 0;) {
      const uint64_t part = std::min<uint64_t>(left, block.size() * sizeof(float));
      file.write(reinterpret_cast<const char*>(block.data()), static_cast<std::streamsize>(part));
      left -= part;
    }
  }

  const ScratchDirectory scratch_;
};

}  // namespace remuda
