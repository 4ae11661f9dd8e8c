// config.json of a BART model (Lewis et al. 2019), read and checked.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace remuda::io {

// Field names are Hugging Face's BartConfig's. The encoder and the decoder may differ in all but d_model.
struct BartConfig {
  int64_t vocab_size = 0;
  int64_t d_model = 0;
  int64_t encoder_layers = 0;
  int64_t decoder_layers = 0;
  int64_t encoder_attention_heads = 0;
  int64_t decoder_attention_heads = 0;
  int64_t encoder_ffn_dim = 0;
  int64_t decoder_ffn_dim = 0;
  int64_t max_position_embeddings = 0;       // The longest sequence, of either side.
  std::string activation_function = "gelu";  // "gelu", "gelu_new" (and its aliases, mapped to it), "relu"
  bool scale_embedding = false;              // Token embeddings are multiplied by sqrt(d_model).
  bool tie_word_embeddings = true;           // The output layer is the token embedding.
  int64_t pad_token_id = 1;
  int64_t bos_token_id = 0;
  int64_t eos_token_id = 2;
  int64_t decoder_start_token_id = 2;
};

// Throws Error: kNotFound, kInvalidFile (file, field, expected, found), kUnsupported (another architecture, or a
// variant of this one that is not built: what would otherwise give wrong answers).
BartConfig read_bart_config(const std::filesystem::path& config_json);

}  // namespace remuda::io
