// config.json of an encoder.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <string_view>
#include <vector>

#include "base/fail.h"
#include "base/json.h"
#include "io/config_fields.h"
#include "io/model_directory.h"

namespace remuda::io {
namespace {

struct Architecture {
  std::string_view model_type;
  // What it calls a field.
  const char* hidden_size = "hidden_size";
  const char* num_layers = "num_hidden_layers";
  const char* num_heads = "num_attention_heads";
  const char* intermediate_size = "intermediate_size";
  const char* activation = "hidden_act";
  bool has_token_types = false;
  bool has_relative_bias = false;
  // Positions are numbered from the one after the padding token's id, as fairseq does it.
  bool positions_follow_padding = false;
};
constexpr std::array<Architecture, 6> kArchitectures = {{
    {.model_type = "bert", .has_token_types = true},
    {.model_type = "distilbert",
     .hidden_size = "dim",
     .num_layers = "n_layers",
     .num_heads = "n_heads",
     .intermediate_size = "hidden_dim",
     .activation = "activation"},
    {.model_type = "mpnet", .has_relative_bias = true, .positions_follow_padding = true},
    {.model_type = "roberta", .has_token_types = true, .positions_follow_padding = true},
    {.model_type = "xlm-roberta", .has_token_types = true, .positions_follow_padding = true},
    {.model_type = "camembert", .has_token_types = true, .positions_follow_padding = true},
}};

const Architecture& architecture_of(const JsonValue& root) {
  const JsonValue model_type = root.at("model_type");
  const auto found = std::ranges::find(kArchitectures, model_type.as_string(), &Architecture::model_type);
  if (found == kArchitectures.end()) {
    std::vector<std::string_view> known;
    std::ranges::transform(kArchitectures, std::back_inserter(known), &Architecture::model_type);
    fail(ErrorCode::kUnsupported, "{}: expected an encoder that remuda knows ({}), found \"{}\"", model_type.where(),
         fmt::join(known, ", "), model_type.as_string());
  }
  return *found;
}

// What would change the computation in a way that is not built.
void refuse_variants(const JsonValue& root) {
  if (const auto type = root.find("position_embedding_type"); type && type->as_string() != "absolute") {
    fail(ErrorCode::kUnsupported, "{}: expected absolute, found \"{}\"", type->where(), type->as_string());
  }
  for (const char* flag : {"is_decoder", "add_cross_attention", "is_encoder_decoder"}) {
    if (root.bool_or(flag, false)) {
      fail(ErrorCode::kUnsupported, "{}: expected an encoder (false), found true", root.at(flag).where());
    }
  }
}

double parse_epsilon(const JsonValue& root) {
  const double epsilon = root.double_or("layer_norm_eps", 1e-12);
  if (!(epsilon > 0.0 && epsilon < 1.0)) root.at("layer_norm_eps").fail_expected("a number between 0 and 1");
  return epsilon;
}

}  // namespace

EncoderConfig read_encoder_config(const std::filesystem::path& path) {
  const JsonDocument document = JsonDocument::parse_file(path);
  const JsonValue root = document.root();
  const Architecture& architecture = architecture_of(root);
  refuse_variants(root);

  EncoderConfig config;
  config.model_type = architecture.model_type;
  config.vocab_size = root.at("vocab_size").as_int(1, kMaxVocabulary);
  config.hidden_size = root.at(architecture.hidden_size).as_int(1, kMaxHidden);
  config.num_layers = root.at(architecture.num_layers).as_int(1, kMaxLayers);
  config.num_heads = root.at(architecture.num_heads).as_int(1, config.hidden_size);
  if (config.hidden_size % config.num_heads != 0) {
    root.at(architecture.num_heads)
        .fail_expected(fmt::format("a divisor of {} {}", architecture.hidden_size, config.hidden_size));
  }
  config.intermediate_size = root.at(architecture.intermediate_size).as_int(1, kMaxIntermediate);
  config.max_positions = root.at("max_position_embeddings").as_int(1, kMaxPositions);
  if (architecture.has_token_types) config.type_vocab_size = root.int_or("type_vocab_size", 2, 1, kMaxVocabulary);
  config.pad_token_id =
      root.int_or("pad_token_id", architecture.positions_follow_padding ? 1 : 0, 0, config.vocab_size - 1);
  if (architecture.positions_follow_padding) config.first_position = config.pad_token_id + 1;
  if (architecture.has_relative_bias) {
    // At least two for each direction, so that the logarithmic part has a base; and of those of a direction the exact
    // half ends before the distance of 128, where the logarithmic part does.
    config.relative_attention_num_buckets = root.int_or("relative_attention_num_buckets", 32, 4, 511);
  }
  if (config.max_sequence_length() < 1) {
    root.at("max_position_embeddings")
        .fail_expected(fmt::format("more than pad_token_id + 1 = {}", config.first_position));
  }
  config.layer_norm_eps = parse_epsilon(root);
  config.hidden_act = parse_activation(root, architecture.activation);
  return config;
}

}  // namespace remuda::io
