#include "io/bart_config.h"

#include <fmt/format.h>

#include <array>
#include <string_view>

#include "base/fail.h"
#include "base/json.h"
#include "base/log.h"
#include "io/config_fields.h"

namespace remuda::io {
namespace {

// What a model of another kind is, by model_type.
struct OtherKind {
  std::string_view model_type;
  const char* is;
};
constexpr std::array kOtherKinds = std::to_array<OtherKind>({
    {"mbart", "an mBART, which remuda does not run yet"},
    {"pegasus", "a Pegasus, which remuda does not run yet"},
    {"bigbird_pegasus", "a BigBird-Pegasus, which remuda does not run yet"},
    {"t5", "a T5, which remuda does not run yet"},
    {"mt5", "an mT5, which remuda does not run yet"},
    {"longt5", "a LongT5, which remuda does not run yet"},
    {"led", "an LED, which remuda does not run yet"},
    {"marian", "a Marian, which translates"},
    {"bert", "a BERT, an encoder, which remuda embed may run"},
    {"roberta", "a RoBERTa, an encoder, which remuda embed may run"},
    {"xlm-roberta", "an XLM-RoBERTa, an encoder, which remuda embed may run"},
    {"camembert", "a CamemBERT, an encoder, which remuda embed may run"},
    {"distilbert", "a DistilBERT, an encoder, which remuda embed may run"},
    {"mpnet", "an MPNet, an encoder, which remuda embed may run"},
});

void refuse_other_models(const JsonValue& root) {
  const auto model_type = root.find("model_type");
  if (!model_type || model_type->as_string() == "bart") return;
  for (const OtherKind& kind : kOtherKinds) {
    if (kind.model_type != model_type->as_string()) continue;
    fail(ErrorCode::kUnsupported, "{}: expected bart, a model that writes summaries, found \"{}\": this is {}",
         model_type->where(), kind.model_type, kind.is);
  }
  fail(ErrorCode::kUnsupported, "{}: expected bart, a model that writes summaries, found \"{}\"", model_type->where(),
       model_type->as_string());
}

// What classes of the same model with another task are.
struct OtherTask {
  std::string_view ending;
  const char* is;
};
constexpr std::array kOtherTasks = std::to_array<OtherTask>({
    {"ForSequenceClassification", "a classifier of texts"},
    {"ForTokenClassification", "a classifier of words"},
    {"ForQuestionAnswering", "a model that finds answers in a text"},
    {"ForCausalLM", "a decoder without an encoder"},
    {"ForMultipleChoice", "a model that chooses between texts"},
    {"ForMaskedLM", "a model that fills gaps"},
});

// A class that nobody knows may be a summarizer's; one that is known to be something else isn't.
void refuse_other_tasks(const JsonValue& root) {
  const auto architectures = root.find("architectures");
  if (!architectures || !architectures->is_array()) return;
  for (const JsonValue& item : architectures->items()) {
    if (!item.is_string()) continue;
    const std::string_view name = item.as_string();
    for (const OtherTask& task : kOtherTasks) {
      if (!name.ends_with(task.ending)) continue;
      fail(ErrorCode::kUnsupported,
           "{}: expected BartForConditionalGeneration, a model that writes summaries, found {}: this is {}",
           item.where(), name, task.is);
    }
  }
}

// Flags that BART's class in transformers doesn't read, and the values that a BART has.
void warn_about_variants(const JsonValue& root) {
  struct Flag {
    const char* name;
    bool expected;
  };
  // The names are of the models that were once BART variants with layer norms elsewhere (mBART, Pegasus).
  for (const Flag& flag :
       {Flag{"normalize_embedding", true}, Flag{"normalize_before", false}, Flag{"add_final_layer_norm", false},
        Flag{"add_bias_logits", false}, Flag{"static_position_embeddings", false}}) {
    const auto value = root.find(flag.name);
    if (!value || value->type() != JsonValue::Type::kBool || value->as_bool() == flag.expected) continue;
    log::warning("{}: {} means nothing to a BART, here as in transformers; is this an mBART or a Pegasus?",
                 value->where(), value->as_bool());
  }
}

// A field and its other name, which, where it is there, outweighs the first; else transformers' default.
JsonValue field(const JsonValue& root, const char* name, const char* other_name) {
  if (other_name != nullptr && root.find(other_name)) return root.at(other_name);
  return root.at(name);
}

int64_t parse_size(const JsonValue& root, const char* name, int64_t fallback, int64_t most,
                   const char* other_name = nullptr) {
  const bool is_there = root.find(name) || (other_name != nullptr && root.find(other_name));
  return is_there ? field(root, name, other_name).as_int(1, most) : fallback;
}

int64_t parse_heads(const JsonValue& root, const char* name, int64_t d_model, const char* other_name = nullptr) {
  constexpr int64_t kDefaultHeads = 16;
  const int64_t heads = parse_size(root, name, kDefaultHeads, d_model, other_name);
  if (d_model % heads == 0) return heads;
  if (root.find(name) || (other_name != nullptr && root.find(other_name))) {
    field(root, name, other_name).fail_expected(fmt::format("a divisor of d_model {}", d_model));
  }
  fail(ErrorCode::kInvalidFile, "{}: {}: expected a divisor of d_model {}, found none, which means {}", root.where(),
       name, d_model, kDefaultHeads);
}

}  // namespace

BartConfig read_bart_config(const std::filesystem::path& path) {
  const JsonDocument document = JsonDocument::parse_file(path);
  const JsonValue root = document.root();
  refuse_other_models(root);
  refuse_other_tasks(root);
  if (!root.bool_or("is_encoder_decoder", true)) {
    fail(ErrorCode::kUnsupported, "{}: expected true, found false", root.at("is_encoder_decoder").where());
  }
  warn_about_variants(root);

  const BartConfig defaults;
  BartConfig config;
  config.vocab_size = parse_size(root, "vocab_size", defaults.vocab_size, kMaxVocabulary);
  config.d_model = parse_size(root, "d_model", defaults.d_model, kMaxHidden, "hidden_size");
  config.encoder_layers = parse_size(root, "encoder_layers", defaults.encoder_layers, kMaxLayers, "num_hidden_layers");
  config.decoder_layers = parse_size(root, "decoder_layers", defaults.decoder_layers, kMaxLayers);
  config.encoder_attention_heads = parse_heads(root, "encoder_attention_heads", config.d_model, "num_attention_heads");
  config.decoder_attention_heads = parse_heads(root, "decoder_attention_heads", config.d_model);
  config.encoder_ffn_dim = parse_size(root, "encoder_ffn_dim", defaults.encoder_ffn_dim, kMaxIntermediate);
  config.decoder_ffn_dim = parse_size(root, "decoder_ffn_dim", defaults.decoder_ffn_dim, kMaxIntermediate);
  config.max_position_embeddings =
      parse_size(root, "max_position_embeddings", defaults.max_position_embeddings, kMaxPositions);
  config.activation_function = parse_activation(root, "activation_function");
  config.scale_embedding = root.bool_or("scale_embedding", false);
  config.tie_word_embeddings = root.bool_or("tie_word_embeddings", true);
  return config;
}

}  // namespace remuda::io
