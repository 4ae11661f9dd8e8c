// config.json of an encoder.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fail.h"
#include "base/json.h"
#include "io/config_fields.h"
#include "io/model_directory.h"

namespace remuda::io {
namespace {

// What an architecture calls its fields, and what transformers takes where a file doesn't have them.
struct Architecture {
  std::string_view model_type;
  const char* hidden_size = "hidden_size";
  const char* num_layers = "num_hidden_layers";
  const char* num_heads = "num_attention_heads";
  const char* intermediate_size = "intermediate_size";
  const char* activation = "hidden_act";
  int64_t default_vocab_size = 30522;
  int64_t default_layers = 12;
  bool has_token_types = false;
  bool has_relative_bias = false;
  bool can_be_decoder = false;
  bool has_own_epsilon = true;  // Else 1e-12, whatever the file says.
  // Positions are numbered from the one after the padding token's id, as fairseq does it.
  bool positions_follow_padding = false;
};
constexpr Architecture roberta_like(std::string_view model_type, int64_t vocab_size) {
  return {.model_type = model_type,
          .default_vocab_size = vocab_size,
          .has_token_types = true,
          .can_be_decoder = true,
          .positions_follow_padding = true};
}
constexpr std::array<Architecture, 6> kArchitectures = {{
    {.model_type = "bert", .has_token_types = true, .can_be_decoder = true},
    {.model_type = "distilbert",
     .hidden_size = "dim",
     .num_layers = "n_layers",
     .num_heads = "n_heads",
     .intermediate_size = "hidden_dim",
     .activation = "activation",
     .default_layers = 6,
     .has_own_epsilon = false},
    {.model_type = "mpnet", .default_vocab_size = 30527, .has_relative_bias = true},
    roberta_like("roberta", 50265),
    roberta_like("xlm-roberta", 30522),
    roberta_like("camembert", 30522),
}};
// The rows of its table of relative positions, far more than any model has.
constexpr int64_t kMaxRelativeBuckets = 1 << 16;
// MPNet's padding token is the second of the vocabulary, whatever the file says.
constexpr int64_t kMpnetPadding = 1;

// The fields of a config.json, and what outweighs them.
class Fields {
 public:
  Fields(JsonValue root, std::optional<JsonValue> overrides) : root_(std::move(root)), over_(std::move(overrides)) {}

  // Null counts as missing.
  std::optional<JsonValue> find(const char* key) const {
    if (over_) {
      if (auto value = over_->find(key)) return value;
    }
    return root_.find(key);
  }
  JsonValue at(const char* key) const {
    const auto value = find(key);
    return value ? *value : root_.at(key);
  }
  bool bool_or(const char* key, bool fallback) const {
    const auto value = find(key);
    return value ? value->as_bool() : fallback;
  }
  int64_t int_or(const char* key, int64_t fallback, int64_t min, int64_t max) const {
    const auto value = find(key);
    return value ? value->as_int(min, max) : fallback;
  }

 private:
  JsonValue root_;
  std::optional<JsonValue> over_;
};

const Architecture& architecture_of(const Fields& fields) {
  const JsonValue model_type = fields.at("model_type");
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
void refuse_variants(const Fields& fields, const Architecture& architecture) {
  if (const auto type = fields.find("position_embedding_type"); type && type->as_string() != "absolute") {
    fail(ErrorCode::kUnsupported, "{}: expected absolute, found \"{}\"", type->where(), type->as_string());
  }
  // The others don't look at them.
  if (!architecture.can_be_decoder) return;
  for (const char* flag : {"is_decoder", "add_cross_attention"}) {
    if (fields.bool_or(flag, false)) {
      fail(ErrorCode::kUnsupported, "{}: expected an encoder (false), found true", fields.at(flag).where());
    }
  }
}

double parse_epsilon(const Fields& fields) {
  const auto value = fields.find("layer_norm_eps");
  const double epsilon = value ? value->as_double() : 1e-12;
  if (!(epsilon > 0.0 && epsilon < 1.0)) value->fail_expected("a number between 0 and 1");
  return epsilon;
}

// As sentence-transformers has it: by the first of the architectures, unless the file says that tokens look ahead.
bool is_causal_lm(const Fields& fields) {
  const auto architectures = fields.find("architectures");
  if (!architectures || !architectures->is_array() || architectures->items().empty()) return false;
  const JsonValue first = architectures->items()[0];
  return first.is_string() && first.as_string().ends_with("ForCausalLM") && fields.bool_or("is_causal", true);
}

// Where the first position is, and which token has none of its own.
void parse_positions(const Fields& fields, const Architecture& architecture, EncoderConfig& config) {
  config.max_positions = fields.int_or("max_position_embeddings", 512, 1, kMaxPositions);
  if (architecture.has_relative_bias) {
    config.pad_token_id = kMpnetPadding;
  } else if (architecture.positions_follow_padding) {
    config.pad_token_id = fields.int_or("pad_token_id", 1, -1, config.vocab_size - 1);
  }
  config.first_position = config.pad_token_id + 1;
  if (config.max_sequence_length() < 1) {
    fields.at("max_position_embeddings")
        .fail_expected(fmt::format("more than pad_token_id + 1 = {}", config.first_position));
  }
}

}  // namespace

EncoderConfig read_encoder_config(const std::filesystem::path& path, const std::optional<JsonValue>& overrides) {
  const JsonDocument document = JsonDocument::parse_file(path);
  const Fields fields(document.root(), overrides);
  const Architecture& architecture = architecture_of(fields);
  refuse_variants(fields, architecture);

  EncoderConfig config;
  config.model_type = architecture.model_type;
  config.vocab_size = fields.int_or("vocab_size", architecture.default_vocab_size, 1, kMaxVocabulary);
  config.hidden_size = fields.int_or(architecture.hidden_size, 768, 1, kMaxHidden);
  config.num_layers = fields.int_or(architecture.num_layers, architecture.default_layers, 1, kMaxLayers);
  config.num_heads = fields.int_or(architecture.num_heads, 12, 1, config.hidden_size);
  if (config.hidden_size % config.num_heads != 0) {
    fields.at(architecture.num_heads)
        .fail_expected(fmt::format("a divisor of {} {}", architecture.hidden_size, config.hidden_size));
  }
  config.intermediate_size = fields.int_or(architecture.intermediate_size, 3072, 1, kMaxIntermediate);
  if (architecture.has_token_types) config.type_vocab_size = fields.int_or("type_vocab_size", 2, 1, kMaxVocabulary);
  parse_positions(fields, architecture, config);
  if (architecture.has_relative_bias) {
    // Positions are spread over 32 buckets whatever the file says, which is the number of the table's rows.
    config.relative_attention_num_buckets =
        fields.int_or("relative_attention_num_buckets", kRelativeBuckets, kRelativeBuckets, kMaxRelativeBuckets);
  }
  if (architecture.has_own_epsilon) config.layer_norm_eps = parse_epsilon(fields);
  const auto activation = fields.find(architecture.activation);
  config.hidden_act = activation ? parse_activation(*activation) : "gelu";
  config.output_hidden_states = fields.bool_or("output_hidden_states", false);
  config.is_causal_lm = is_causal_lm(fields);
  return config;
}

}  // namespace remuda::io
