// The tensors of a BART of any size, for checkpoints of random weights.
#pragma once

#include <fmt/format.h>

#include <string>

#include "io/bart_config.h"
#include "models/random_weights.h"

namespace remuda::models {

// With the names that transformers gives them.
inline RandomTensors random_bart_tensors(const io::BartConfig& config) {
  const int64_t size = config.d_model;
  const bool tied = config.tie_word_embeddings;
  RandomTensors tensors = {{tied ? "model.shared.weight" : "lm_head.weight", {config.vocab_size, size}},
                           {"final_logits_bias", {1, config.vocab_size}}};
  for (const bool decoder : {false, true}) {
    const std::string side = decoder ? "model.decoder" : "model.encoder";
    const int64_t inner = decoder ? config.decoder_ffn_dim : config.encoder_ffn_dim;
    tensors.push_back({side + ".embed_positions.weight", {config.max_position_embeddings + 2, size}});
    add_norm(tensors, side + ".layernorm_embedding", size);
    if (!tied) tensors.push_back({side + ".embed_tokens.weight", {config.vocab_size, size}});
    for (int64_t i = 0; i < (decoder ? config.decoder_layers : config.encoder_layers); ++i) {
      const std::string layer = fmt::format("{}.layers.{}", side, i);
      for (const char* attention : {".self_attn", ".encoder_attn"}) {
        if (!decoder && attention == std::string(".encoder_attn")) continue;
        for (const char* part : {".q_proj", ".k_proj", ".v_proj", ".out_proj"}) {
          add_linear(tensors, layer + attention + part, size, size);
        }
        add_norm(tensors, layer + attention + "_layer_norm", size);
      }
      add_linear(tensors, layer + ".fc1", inner, size);
      add_linear(tensors, layer + ".fc2", size, inner);
      add_norm(tensors, layer + ".final_layer_norm", size);
    }
  }
  return tensors;
}

}  // namespace remuda::models
