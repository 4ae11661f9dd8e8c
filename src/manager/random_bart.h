// BARTs with random weights, of any size, as directories that a manager loads.
#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <string>

#include "base/scratch_directory.h"
#include "models/random_bart_weights.h"
#include "remuda/settings.h"

namespace remuda {

struct RandomBartShape {
  int64_t encoder_layers = 2;
  int64_t decoder_layers = 2;
  int64_t hidden = 64;
  int64_t encoder_inner = 256;
  int64_t decoder_inner = 256;
  int64_t positions = 512;
  int64_t vocabulary = 4000;
  bool tied = true;  // The output layer to the word embeddings.
  int64_t beams = 4;
  int64_t length = 64;  // Of every summary.
};

// Has the tokenizer of a golden encoder, which knows few of the vocabulary's ids. Removed with the object.
class RandomBart {
 public:
  explicit RandomBart(const RandomBartShape& shape) {
    const auto golden = std::filesystem::path(REMUDA_SOURCE_DIR) / "tests/golden/encoders/bert_mean/tokenizer.json";
    std::filesystem::copy(golden, scratch_.path() / "tokenizer.json");
    scratch_.write("tokenizer_config.json", R"({"tokenizer_class": "PreTrainedTokenizerFast"})");
    scratch_.write(
        "config.json",
        fmt::format(R"({{"model_type": "bart", "architectures": ["BartForConditionalGeneration"], "d_model": {},)"
                    R"( "encoder_layers": {}, "decoder_layers": {}, "encoder_attention_heads": 8,)"
                    R"( "decoder_attention_heads": 8, "encoder_ffn_dim": {}, "decoder_ffn_dim": {}, "vocab_size": {},)"
                    R"( "max_position_embeddings": {}, "activation_function": "gelu", "tie_word_embeddings": {},)"
                    R"( "bos_token_id": 5, "pad_token_id": 3, "eos_token_id": 7, "decoder_start_token_id": 9}})",
                    shape.hidden, shape.encoder_layers, shape.decoder_layers, shape.encoder_inner, shape.decoder_inner,
                    shape.vocabulary, shape.positions, shape.tied));
    scratch_.write("generation_config.json",
                   fmt::format(R"({{"decoder_start_token_id": 9, "bos_token_id": 5, "eos_token_id": 7,)"
                               R"( "pad_token_id": 3, "num_beams": {}, "min_length": {}, "max_length": {}}})",
                               shape.beams, shape.length, shape.length));
    write_random_weights(scratch_.path(), tensors_of(shape), static_cast<unsigned>(shape.hidden));
  }

  std::string path() const { return scratch_.path().string(); }

 private:
  static RandomTensors tensors_of(const RandomBartShape& shape) {
    io::BartConfig config;
    config.vocab_size = shape.vocabulary;
    config.d_model = shape.hidden;
    config.encoder_layers = shape.encoder_layers;
    config.decoder_layers = shape.decoder_layers;
    config.encoder_ffn_dim = shape.encoder_inner;
    config.decoder_ffn_dim = shape.decoder_inner;
    config.max_position_embeddings = shape.positions;
    config.tie_word_embeddings = shape.tied;
    return models::random_bart_tensors(config);
  }

  const ScratchDirectory scratch_;
};

}  // namespace remuda
