#include "models/encoder_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>

#include "base/fail.h"

namespace remuda::models {
namespace {

// BERT's, which RoBERTa and its kin have kept.
constexpr EncoderNames bert_names(std::string_view model_type, std::string_view prefix) {
  return {.model_type = model_type,
          .prefix = prefix,
          .layer = "encoder.layer.{}.",
          .query = "attention.self.query",
          .key = "attention.self.key",
          .value = "attention.self.value",
          .attention_output = "attention.output.dense",
          .attention_norm = "attention.output.LayerNorm",
          .intermediate = "intermediate.dense",
          .output = "output.dense",
          .output_norm = "output.LayerNorm"};
}

constexpr std::array<EncoderNames, 6> kArchitectures = {{
    bert_names("bert", "bert."),
    bert_names("roberta", "roberta."),
    bert_names("xlm-roberta", "roberta."),
    bert_names("camembert", "roberta."),
    {.model_type = "distilbert",
     .prefix = "distilbert.",
     .layer = "transformer.layer.{}.",
     .query = "attention.q_lin",
     .key = "attention.k_lin",
     .value = "attention.v_lin",
     .attention_output = "attention.out_lin",
     .attention_norm = "sa_layer_norm",
     .intermediate = "ffn.lin1",
     .output = "ffn.lin2",
     .output_norm = "output_layer_norm"},
    {.model_type = "mpnet",
     .prefix = "mpnet.",
     .layer = "encoder.layer.{}.",
     .query = "attention.attn.q",
     .key = "attention.attn.k",
     .value = "attention.attn.v",
     .attention_output = "attention.attn.o",
     .attention_norm = "attention.LayerNorm",
     .intermediate = "intermediate.dense",
     .output = "output.dense",
     .output_norm = "output.LayerNorm"},
}};

constexpr std::string_view kWordEmbeddings = "embeddings.word_embeddings.weight";

const EncoderNames& names_of(const std::string& model_type) {
  const auto found = std::ranges::find(kArchitectures, model_type, &EncoderNames::model_type);
  if (found == kArchitectures.end()) {
    std::vector<std::string_view> known;
    std::ranges::transform(kArchitectures, std::back_inserter(known), &EncoderNames::model_type);
    fail(ErrorCode::kUnsupported, "model_type: expected one of {}, found \"{}\"", fmt::join(known, ", "), model_type);
  }
  return *found;
}

}  // namespace

EncoderWeights::EncoderWeights(const io::EncoderConfig& config, const io::Checkpoint& checkpoint,
                               io::PackedFile* packed)
    : config_(config), names_(names_of(config.model_type)), reader_(checkpoint, std::string(names_.prefix), packed) {}

TensorView EncoderWeights::word_embeddings() const {
  return reader_.get_table(std::string(kWordEmbeddings), {config_.vocab_size, config_.hidden_size});
}

FloatTensor EncoderWeights::position_embeddings() const {
  const int64_t size = config_.hidden_size;
  FloatTensor positions =
      FloatTensor::from(reader_.get("embeddings.position_embeddings.weight", {config_.max_positions, size}));
  if (config_.type_vocab_size == 0) return positions;
  const FloatTensor types =
      FloatTensor::from(reader_.get("embeddings.token_type_embeddings.weight", {config_.type_vocab_size, size}));
  for (int64_t p = 0; p < config_.max_positions; ++p) {
    for (int64_t i = 0; i < size; ++i) positions.data()[p * size + i] += types.data()[i];
  }
  return positions;
}

nn::LayerNorm EncoderWeights::layer_norm(const std::string& name) const {
  return reader_.layer_norm(name, config_.hidden_size, config_.layer_norm_eps);
}

nn::LayerNorm EncoderWeights::embedding_norm() const { return layer_norm("embeddings.LayerNorm"); }

FloatTensor EncoderWeights::relative_attention_bias() const {
  const FloatTensor table = FloatTensor::from(reader_.get("encoder.relative_attention_bias.weight",
                                                          {config_.relative_attention_num_buckets, config_.num_heads}));
  FloatTensor used({io::kRelativeBuckets, config_.num_heads});
  std::copy_n(table.data(), used.size(), used.data());
  return used;
}

nn::EncoderLayer EncoderWeights::layer(int64_t index, Precision precision, ComputePool& pool) const {
  const std::string base = fmt::format(fmt::runtime(names_.layer), index);
  const auto name = [&base](std::string_view part) { return base + std::string(part); };
  const auto linear = [&](const std::vector<std::string>& names, int64_t out, int64_t in) {
    return reader_.linear(names, {out, in}, precision, pool);
  };
  const int64_t size = config_.hidden_size;
  const int64_t inner = config_.intermediate_size;
  return {
      .heads = {.num_heads = config_.num_heads, .head_dim = size / config_.num_heads},
      .query_key_value = linear({name(names_.query), name(names_.key), name(names_.value)}, size, size),
      .attention_output = linear({name(names_.attention_output)}, size, size),
      .attention_norm = layer_norm(name(names_.attention_norm)),
      .intermediate = linear({name(names_.intermediate)}, inner, size),
      .activation = activation_of(config_.hidden_act),
      .output = linear({name(names_.output)}, size, inner),
      .output_norm = layer_norm(name(names_.output_norm)),
  };
}

EncoderLayerTensors EncoderWeights::layer_tensors(int64_t index) const {
  const std::string base = fmt::format(fmt::runtime(names_.layer), index);
  const int64_t size = config_.hidden_size;
  const int64_t inner = config_.intermediate_size;
  const auto matrix = [&](std::string_view part, int64_t out, int64_t in) {
    return reader_.get_table(base + std::string(part) + ".weight", {out, in});
  };
  const auto bias = [&](std::string_view part, int64_t out) {
    return FloatTensor::from(reader_.get(base + std::string(part) + ".bias", {out}));
  };
  return {.query = matrix(names_.query, size, size),
          .key = matrix(names_.key, size, size),
          .value = matrix(names_.value, size, size),
          .attention_output = matrix(names_.attention_output, size, size),
          .intermediate = matrix(names_.intermediate, inner, size),
          .output = matrix(names_.output, size, inner),
          .query_bias = bias(names_.query, size),
          .key_bias = bias(names_.key, size),
          .value_bias = bias(names_.value, size),
          .attention_output_bias = bias(names_.attention_output, size),
          .intermediate_bias = bias(names_.intermediate, inner),
          .output_bias = bias(names_.output, size),
          .attention_norm = layer_norm(base + std::string(names_.attention_norm)),
          .output_norm = layer_norm(base + std::string(names_.output_norm))};
}

}  // namespace remuda::models
