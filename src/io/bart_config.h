// config.json of a BART model (Lewis et al. 2019), read and checked.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace remuda::io {

// Field names and defaults are those of Hugging Face's BartConfig. The encoder and the decoder may differ in all but
// d_model. Token ids of config.json are the generation's (generation/options.h).
struct BartConfig {
  int64_t vocab_size = 50265;  // Rows of the token embeddings; the tokenizer beside them may have more ids.
  int64_t d_model = 1024;
  int64_t encoder_layers = 12;
  int64_t decoder_layers = 12;
  int64_t encoder_attention_heads = 16;
  int64_t decoder_attention_heads = 16;
  int64_t encoder_ffn_dim = 4096;
  int64_t decoder_ffn_dim = 4096;
  int64_t max_position_embeddings = 1024;    // The longest sequence, of either side.
  std::string activation_function = "gelu";  // "gelu", "gelu_new" (and its aliases, mapped to it), "relu"
  bool scale_embedding = false;              // Token embeddings are multiplied by sqrt(d_model).
  bool tie_word_embeddings = true;           // The output layer is the token embedding.
};

// Throws Error: kNotFound, kInvalidFile (file, field, expected, found), kUnsupported (a model of another kind or with
// another task, and what it is).
BartConfig read_bart_config(const std::filesystem::path& config_json);

}  // namespace remuda::io
