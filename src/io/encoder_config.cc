// config.json of an encoder.
#include <algorithm>
#include <array>
#include <cmath>

#include "base/fail.h"
#include "base/json.h"
#include "io/config_fields.h"
#include "io/model_directory.h"

namespace remuda::io {
namespace {

// What each architecture calls a field.
struct FieldNames {
  const char* model_type;
  const char* hidden_size;
  const char* num_layers;
  const char* num_heads;
  const char* intermediate_size;
  const char* activation;
};
constexpr std::array<FieldNames, 3> kArchitectures = {{
    {"bert", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act"},
    {"distilbert", "dim", "n_layers", "n_heads", "hidden_dim", "activation"},
    {"mpnet", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act"},
}};

const FieldNames& field_names(const JsonValue& root) {
  const JsonValue model_type = root.at("model_type");
  const auto found = std::ranges::find_if(
      kArchitectures, [&](const FieldNames& names) { return names.model_type == model_type.as_string(); });
  if (found == kArchitectures.end()) {
    fail(ErrorCode::kUnsupported, "{}: expected an encoder that remuda knows (bert, distilbert, mpnet), found \"{}\"",
         model_type.where(), model_type.as_string());
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
  const FieldNames& names = field_names(root);
  refuse_variants(root);

  EncoderConfig config;
  config.model_type = names.model_type;
  const bool is_mpnet = config.model_type == "mpnet";
  config.vocab_size = root.at("vocab_size").as_int(1, kMaxVocabulary);
  config.hidden_size = root.at(names.hidden_size).as_int(1, kMaxHidden);
  config.num_layers = root.at(names.num_layers).as_int(1, kMaxLayers);
  config.num_heads = root.at(names.num_heads).as_int(1, config.hidden_size);
  if (config.hidden_size % config.num_heads != 0) {
    root.at(names.num_heads).fail_expected(fmt::format("a divisor of {} {}", names.hidden_size, config.hidden_size));
  }
  config.intermediate_size = root.at(names.intermediate_size).as_int(1, kMaxIntermediate);
  config.max_positions = root.at("max_position_embeddings").as_int(1, kMaxPositions);
  if (config.model_type == "bert") config.type_vocab_size = root.int_or("type_vocab_size", 2, 1, kMaxVocabulary);
  config.pad_token_id = root.int_or("pad_token_id", is_mpnet ? 1 : 0, 0, config.vocab_size - 1);
  if (is_mpnet) {
    // At least two for each direction, so that the logarithmic part has a base.
    config.relative_attention_num_buckets = root.int_or("relative_attention_num_buckets", 32, 4, 1 << 12);
  }
  if (config.max_sequence_length() < 1) {
    root.at("max_position_embeddings")
        .fail_expected(fmt::format("more than pad_token_id + 1 = {}", config.first_position()));
  }
  config.layer_norm_eps = parse_epsilon(root);
  config.hidden_act = parse_activation(root, names.activation);
  return config;
}

}  // namespace remuda::io
