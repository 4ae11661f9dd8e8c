#include "io/bart_config.h"

#include <fmt/format.h>

#include "base/fail.h"
#include "base/json.h"
#include "io/config_fields.h"

namespace remuda::io {
namespace {

// What would change the computation in a way that is not built: flags, and the value that BART has.
void refuse_variants(const JsonValue& root) {
  const JsonValue model_type = root.at("model_type");
  if (model_type.as_string() != "bart") {
    fail(ErrorCode::kUnsupported, "{}: expected bart, found \"{}\"", model_type.where(), model_type.as_string());
  }
  struct Flag {
    const char* name;
    bool expected;
  };
  // The older names are of the models that were once BART variants with layer norms elsewhere (mBART, Pegasus).
  for (const Flag& flag : {Flag{"is_encoder_decoder", true}, Flag{"normalize_embedding", true},
                           Flag{"normalize_before", false}, Flag{"add_final_layer_norm", false},
                           Flag{"add_bias_logits", false}, Flag{"static_position_embeddings", false}}) {
    if (root.bool_or(flag.name, flag.expected) != flag.expected) {
      fail(ErrorCode::kUnsupported, "{}: expected {}, found {}", root.at(flag.name).where(), flag.expected,
           !flag.expected);
    }
  }
}

int64_t parse_heads(const JsonValue& root, const char* field, int64_t d_model) {
  const int64_t heads = root.at(field).as_int(1, d_model);
  if (d_model % heads != 0) root.at(field).fail_expected(fmt::format("a divisor of d_model {}", d_model));
  return heads;
}

int64_t parse_token(const JsonValue& root, const char* field, int64_t fallback, int64_t vocab_size) {
  const auto value = root.find(field);
  if (value) return value->as_int(0, vocab_size - 1);
  if (fallback >= vocab_size) {
    fail(ErrorCode::kInvalidFile, "{}: expected {}, since its default {} is not below vocab_size {}", root.where(),
         field, fallback, vocab_size);
  }
  return fallback;
}

}  // namespace

BartConfig read_bart_config(const std::filesystem::path& path) {
  const JsonDocument document = JsonDocument::parse_file(path);
  const JsonValue root = document.root();
  refuse_variants(root);

  BartConfig config;
  config.vocab_size = root.at("vocab_size").as_int(1, kMaxVocabulary);
  config.d_model = root.at("d_model").as_int(1, kMaxHidden);
  config.encoder_layers = root.at("encoder_layers").as_int(1, kMaxLayers);
  config.decoder_layers = root.at("decoder_layers").as_int(1, kMaxLayers);
  config.encoder_attention_heads = parse_heads(root, "encoder_attention_heads", config.d_model);
  config.decoder_attention_heads = parse_heads(root, "decoder_attention_heads", config.d_model);
  config.encoder_ffn_dim = root.at("encoder_ffn_dim").as_int(1, kMaxIntermediate);
  config.decoder_ffn_dim = root.at("decoder_ffn_dim").as_int(1, kMaxIntermediate);
  config.max_position_embeddings = root.at("max_position_embeddings").as_int(1, kMaxPositions);
  config.activation_function = parse_activation(root, "activation_function");
  config.scale_embedding = root.bool_or("scale_embedding", false);
  config.tie_word_embeddings = root.bool_or("tie_word_embeddings", true);
  config.pad_token_id = parse_token(root, "pad_token_id", config.pad_token_id, config.vocab_size);
  config.bos_token_id = parse_token(root, "bos_token_id", config.bos_token_id, config.vocab_size);
  config.eos_token_id = parse_token(root, "eos_token_id", config.eos_token_id, config.vocab_size);
  config.decoder_start_token_id =
      parse_token(root, "decoder_start_token_id", config.decoder_start_token_id, config.vocab_size);
  return config;
}

}  // namespace remuda::io
