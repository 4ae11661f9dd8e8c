// Reading generation options from the JSON files of a checkpoint.
#include <array>
#include <string_view>

#include "base/fail.h"
#include "generation/options.h"

namespace remuda {

namespace {

int32_t read_id(const JsonValue& value) { return static_cast<int32_t>(value.as_int(0, INT32_MAX)); }

void read(const JsonValue& value, int64_t& out) { out = value.as_int(); }
void read(const JsonValue& value, double& out) { out = value.as_double(); }
void read(const JsonValue& value, bool& out) { out = value.as_bool(); }
void read(const JsonValue& value, int32_t& out) { out = read_id(value); }

void read(const JsonValue& value, EarlyStopping& out) {
  if (value.is_string()) {
    if (value.as_string() != "never") value.fail_expected("true, false or \"never\"");
    out = EarlyStopping::kNever;
  } else {
    out = value.as_bool() ? EarlyStopping::kTrue : EarlyStopping::kFalse;
  }
}

// One id stands for a list of one.
void read(const JsonValue& value, TokenIds& out) {
  if (!value.is_array()) {
    out = {read_id(value)};
    return;
  }
  for (const JsonValue& item : value.items()) out.push_back(read_id(item));
}

void read(const JsonValue& value, std::vector<TokenIds>& out) {
  for (const JsonValue& word : value.items()) {
    if (!word.is_array()) word.fail_expected("a list of token ids");
    read(word, out.emplace_back());
  }
}

// Options of transformers that remuda does not have, and the value with which each does nothing.
struct Unsupported {
  std::string_view name;
  double neutral;
};
constexpr std::array kUnsupported = std::to_array<Unsupported>({
    {"num_beam_groups", 1},
    {"diversity_penalty", 0},
    {"penalty_alpha", 0},
    {"typical_p", 1},
    {"epsilon_cutoff", 0},
    {"eta_cutoff", 0},
    {"min_p", 0},
    {"encoder_repetition_penalty", 1},
    {"guidance_scale", 1},
    {"renormalize_logits", 0},
    {"remove_invalid_values", 0},
});
// And those that do something with whatever value.
constexpr std::array kUnsupportedObjects = std::to_array<std::string_view>({
    "top_h",
    "sequence_bias",
    "exponential_decay_length_penalty",
    "constraints",
    "force_words_ids",
    "stop_strings",
    "watermarking_config",
    "dola_layers",
});

void refuse_unsupported(const JsonValue& object) {
  const auto refuse = [](const JsonValue& value) {
    fail(ErrorCode::kUnsupported, "{}: remuda does not have this option of transformers; remove it from the file",
         value.where());
  };
  for (const Unsupported& option : kUnsupported) {
    const auto value = object.find(option.name);
    if (!value) continue;
    const double number = value->type() == JsonValue::Type::kBool ? value->as_bool() : value->as_double();
    if (number != option.neutral) refuse(*value);
  }
  for (const std::string_view name : kUnsupportedObjects) {
    if (const auto value = object.find(name)) refuse(*value);
  }
}

// A field that is missing or null stays unset.
GenerationOptions read_object(const JsonValue& object) {
  if (!object.is_object()) object.fail_expected("an object");
  refuse_unsupported(object);
  GenerationOptions options;
  GenerationOptions::for_each(
      [&](const char* name, auto& field) {
        if (const auto value = object.find(name)) read(*value, field.emplace());
      },
      options);
  return options;
}

}  // namespace

GenerationOptions read_generation_config(const JsonValue& generation_config, const JsonValue* config) {
  GenerationOptions options = read_object(generation_config);
  if (config != nullptr && !options.decoder_start_token_id && !options.bos_token_id) {
    if (const auto start = config->find("decoder_start_token_id")) options.decoder_start_token_id = read_id(*start);
    if (const auto bos = config->find("bos_token_id")) options.bos_token_id = read_id(*bos);
  }
  return options;
}

GenerationOptions read_legacy_config(const JsonValue& config) {
  const GenerationOptions general = read_object(config);
  const auto tasks = config.find("task_specific_params");
  const auto summarization = tasks ? tasks->find("summarization") : std::nullopt;
  return summarization ? read_object(*summarization).over(general) : general;
}

}  // namespace remuda
