#include "models/bart_weights.h"

#include <fmt/format.h>

#include "base/log.h"

namespace remuda::models {
namespace {

constexpr double kLayerNormEpsilon = 1e-5;  // torch.nn.LayerNorm's; configurations of BART have no field for it.

// BartForConditionalGeneration keeps a BartModel in its field `model`.
constexpr const char* kPrefix = "model.";

constexpr const char* kHead = "lm_head.weight";
constexpr const char* kShared = "shared.weight";

}  // namespace

BartWeights::BartWeights(const io::BartConfig& config, const io::Checkpoint& checkpoint, io::PackedFile* packed)
    : config_(config), checkpoint_(checkpoint), reader_(checkpoint, kPrefix, packed), head_(checkpoint, "", packed) {
  check_layers("encoder", config.encoder_layers);
  check_layers("decoder", config.decoder_layers);
}

// Layers that are missing are found when they are read; some too many are left out, as the reference leaves them out.
void BartWeights::check_layers(const std::string& side, int64_t layers) const {
  const std::string name = fmt::format("{}.layers.{}.fc1.weight", side, layers);
  if (!reader_.has(name)) return;
  log::warning("{}: tensor {}: expected {}_layers {} as config.json has it, found more layers, which are not used",
               checkpoint_.files().front().path().string(), reader_.full_name(name), side, layers);
}

// Which of the names that are tied to each other a file has depends on what wrote it. As transformers' tie_weights()
// has it: a tensor of its own counts, whatever the others are; else `shared`, else the first of the others.
std::string BartWeights::tied_name(const std::string& own) const {
  for (const std::string& name : {own, std::string(kShared)}) {
    if (reader_.has(name)) return reader_.full_name(name);
  }
  if (config_.tie_word_embeddings && head_.has(kHead)) return kHead;
  for (const char* name : {"decoder.embed_tokens.weight", "encoder.embed_tokens.weight"}) {
    if (reader_.has(name)) return reader_.full_name(name);
  }
  return reader_.full_name(kShared);
}

std::string BartWeights::head_name() const {
  return !config_.tie_word_embeddings || head_.has(kHead) ? kHead : tied_name(kShared);
}

BartEmbedding BartWeights::embedding(const std::string& side) const {
  const Shape positions = {config_.max_position_embeddings + BartEmbedding::kPositionOffset, config_.d_model};
  return {head_.get_table(tied_name(side + ".embed_tokens.weight"), {config_.vocab_size, config_.d_model}),
          FloatTensor::from(reader_.get(side + ".embed_positions.weight", positions)),
          norm(side + ".layernorm_embedding")};
}

nn::EncoderLayer BartWeights::encoder_layer(int64_t index, Precision precision, ComputePool& pool) const {
  const std::string base = fmt::format("encoder.layers.{}.", index);
  const int64_t size = config_.d_model;
  const int64_t inner = config_.encoder_ffn_dim;
  const auto linear = [&](std::vector<std::string> names, int64_t out, int64_t in) {
    for (std::string& name : names) name = base + name;
    return reader_.linear(names, {out, in}, precision, pool);
  };
  return {
      .heads = {.num_heads = config_.encoder_attention_heads, .head_dim = size / config_.encoder_attention_heads},
      .query_key_value = linear({"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}, size, size),
      .attention_output = linear({"self_attn.out_proj"}, size, size),
      .attention_norm = norm(base + "self_attn_layer_norm"),
      .intermediate = linear({"fc1"}, inner, size),
      .activation = activation_of(config_.activation_function),
      .output = linear({"fc2"}, size, inner),
      .output_norm = norm(base + "final_layer_norm"),
  };
}

nn::DecoderLayer BartWeights::decoder_layer(int64_t index, Precision precision, ComputePool& pool) const {
  const std::string base = fmt::format("decoder.layers.{}.", index);
  const int64_t size = config_.d_model;
  const int64_t inner = config_.decoder_ffn_dim;
  const auto linear = [&](std::vector<std::string> names, int64_t out, int64_t in) {
    for (std::string& name : names) name = base + name;
    return reader_.linear(names, {out, in}, precision, pool);
  };
  return {
      .heads = {.num_heads = config_.decoder_attention_heads, .head_dim = size / config_.decoder_attention_heads},
      .query_key_value = linear({"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}, size, size),
      .attention_output = linear({"self_attn.out_proj"}, size, size),
      .attention_norm = norm(base + "self_attn_layer_norm"),
      .cross_query = linear({"encoder_attn.q_proj"}, size, size),
      .cross_key_value = linear({"encoder_attn.k_proj", "encoder_attn.v_proj"}, size, size),
      .cross_output = linear({"encoder_attn.out_proj"}, size, size),
      .cross_norm = norm(base + "encoder_attn_layer_norm"),
      .intermediate = linear({"fc1"}, inner, size),
      .activation = activation_of(config_.activation_function),
      .output = linear({"fc2"}, size, inner),
      .output_norm = norm(base + "final_layer_norm"),
  };
}

BartLayerTensors BartWeights::layer_tensors(const std::string& side, int64_t index) const {
  const std::string base = fmt::format("{}.layers.{}.", side, index);
  const bool decodes = side == "decoder";
  const int64_t size = config_.d_model;
  const int64_t inner = decodes ? config_.decoder_ffn_dim : config_.encoder_ffn_dim;
  const auto matrix = [&](const std::string& name, int64_t out, int64_t in) {
    return reader_.get_table(base + name + ".weight", {out, in});
  };
  const auto bias = [&](const std::string& name, int64_t out) {
    return FloatTensor::from(reader_.get(base + name + ".bias", {out}));
  };
  BartLayerTensors layer;
  layer.own = {.query = matrix("self_attn.q_proj", size, size),
               .key = matrix("self_attn.k_proj", size, size),
               .value = matrix("self_attn.v_proj", size, size),
               .attention_output = matrix("self_attn.out_proj", size, size),
               .intermediate = matrix("fc1", inner, size),
               .output = matrix("fc2", size, inner),
               .query_bias = bias("self_attn.q_proj", size),
               .key_bias = bias("self_attn.k_proj", size),
               .value_bias = bias("self_attn.v_proj", size),
               .attention_output_bias = bias("self_attn.out_proj", size),
               .intermediate_bias = bias("fc1", inner),
               .output_bias = bias("fc2", size),
               .attention_norm = norm(base + "self_attn_layer_norm"),
               .output_norm = norm(base + "final_layer_norm")};
  if (!decodes) return layer;
  layer.cross_query = matrix("encoder_attn.q_proj", size, size);
  layer.cross_key = matrix("encoder_attn.k_proj", size, size);
  layer.cross_value = matrix("encoder_attn.v_proj", size, size);
  layer.cross_output = matrix("encoder_attn.out_proj", size, size);
  layer.cross_query_bias = bias("encoder_attn.q_proj", size);
  layer.cross_key_bias = bias("encoder_attn.k_proj", size);
  layer.cross_value_bias = bias("encoder_attn.v_proj", size);
  layer.cross_output_bias = bias("encoder_attn.out_proj", size);
  layer.cross_norm = norm(base + "encoder_attn_layer_norm");
  return layer;
}

nn::Linear BartWeights::output(Precision precision, ComputePool& pool) const {
  return {head_.weights({head_name()}, {config_.vocab_size, config_.d_model}, precision, pool), output_bias()};
}

TensorView BartWeights::output_tensor() const {
  return head_.get_table(head_name(), {config_.vocab_size, config_.d_model});
}

FloatTensor BartWeights::output_bias() const {
  if (!head_.has("final_logits_bias")) return {};
  return FloatTensor::from(head_.get("final_logits_bias", {1, config_.vocab_size}));
}

nn::LayerNorm BartWeights::norm(const std::string& name) const {
  return reader_.layer_norm(name, config_.d_model, kLayerNormEpsilon);
}

void check_tensors(const io::BartConfig& config, const io::Checkpoint& checkpoint) {
  const BartWeights weights(config, checkpoint);
  weights.encoder_embedding();
  weights.decoder_embedding();
  for (int64_t i = 0; i < config.encoder_layers; ++i) weights.encoder_layer_tensors(i);
  for (int64_t i = 0; i < config.decoder_layers; ++i) weights.decoder_layer_tensors(i);
  weights.output_tensor();
  weights.output_bias();
}

}  // namespace remuda::models
