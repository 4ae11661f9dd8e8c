// Reading generation options from the JSON files of a checkpoint, as transformers' GenerationConfig takes them.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string_view>

#include "base/fail.h"
#include "generation/options.h"

namespace remuda {

namespace {

// Python's True is 1, and 4.0 equals 4.
double read_number(const JsonValue& value) {
  return value.type() == JsonValue::Type::kBool ? static_cast<double>(value.as_bool()) : value.as_double();
}

void read(const JsonValue& value, int64_t& out) {
  constexpr double kExact = 9007199254740992.0;  // Whole numbers up to it have doubles of their own.
  if (value.type() == JsonValue::Type::kNumber || value.type() == JsonValue::Type::kBool) {
    const double number = read_number(value);
    if (number == std::trunc(number) && std::abs(number) <= kExact) {
      out = static_cast<int64_t>(number);
      return;
    }
  }
  out = value.as_int();
}

void read(const JsonValue& value, double& out) { out = read_number(value); }

// transformers asks whether some flags are True, which 1 is not; see read_do_sample().
void read(const JsonValue& value, bool& out) {
  out = value.type() == JsonValue::Type::kNumber ? false : value.as_bool();
}

int32_t read_id(const JsonValue& value) {
  if (value.type() == JsonValue::Type::kBool) value.fail_expected("a token id");
  int64_t id = 0;
  read(value, id);
  if (id < std::numeric_limits<int32_t>::min() || id > std::numeric_limits<int32_t>::max()) {
    value.fail_expected("a token id");
  }
  return static_cast<int32_t>(id);
}

// A list of one id stands for that one.
void read(const JsonValue& value, int32_t& out) {
  if (!value.is_array()) {
    out = read_id(value);
    return;
  }
  const auto items = value.items();
  if (items.size() != 1) value.fail_expected("one token id");
  out = read_id(items.front());
}

// transformers takes the numbers 0 and 1 and asks later whether the value is True, which they are not.
void read(const JsonValue& value, EarlyStopping& out) {
  if (value.is_string() && value.as_string() == "never") {
    out = EarlyStopping::kNever;
    return;
  }
  const bool is_number = value.type() == JsonValue::Type::kNumber;
  if (value.type() != JsonValue::Type::kBool && !(is_number && (read_number(value) == 0 || read_number(value) == 1))) {
    value.fail_expected("true, false or \"never\"");
  }
  out = !is_number && value.as_bool() ? EarlyStopping::kTrue : EarlyStopping::kFalse;
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

// Any number but 0 is true to `generate`.
void read_do_sample(const JsonValue& value, std::optional<bool>& out) {
  out = value.type() == JsonValue::Type::kNumber ? value.as_double() != 0 : value.as_bool();
}

// An option of transformers that remuda does not have, and which of its values do something.
struct Lacking {
  enum class Values { kAny, kTrue, kAllBut, kAbove, kBelow, kBetween0And1 };
  std::string_view name;
  LackingOption::Concerns concerns;
  Values values;
  double neutral = 0;
};
using Concerns = LackingOption::Concerns;
using Values = Lacking::Values;
constexpr std::array kLacking = std::to_array<Lacking>({
    {"num_beam_groups", Concerns::kBeams, Values::kAbove, 1},
    {"penalty_alpha", Concerns::kContrastive, Values::kAbove, 0},
    {"typical_p", Concerns::kSampling, Values::kBelow, 1},
    {"epsilon_cutoff", Concerns::kSampling, Values::kBetween0And1},
    {"eta_cutoff", Concerns::kSampling, Values::kBetween0And1},
    {"min_p", Concerns::kSampling, Values::kAllBut, 0},
    {"top_h", Concerns::kSampling, Values::kAny},
    {"dola_layers", Concerns::kSingleBeam, Values::kAny},
    {"guidance_scale", Concerns::kAll, Values::kAllBut, 1},
    {"sequence_bias", Concerns::kAll, Values::kAny},
    {"exponential_decay_length_penalty", Concerns::kAll, Values::kAny},
    {"constraints", Concerns::kAll, Values::kAny},
    {"force_words_ids", Concerns::kAll, Values::kAny},
    {"stop_strings", Concerns::kAll, Values::kAny},
    {"watermarking_config", Concerns::kAll, Values::kAny},
    {"token_healing", Concerns::kAll, Values::kTrue},
});

bool does_something(const Lacking& option, const JsonValue& value) {
  if (option.values == Values::kAny) return true;
  const bool is_number = value.type() == JsonValue::Type::kNumber || value.type() == JsonValue::Type::kBool;
  if (!is_number) return true;  // Nobody knows what it means.
  const double number = read_number(value);
  switch (option.values) {
    case Values::kAbove:
      return number > option.neutral;
    case Values::kBelow:
      return number < option.neutral;
    case Values::kBetween0And1:
      return number > 0 && number < 1;
    case Values::kTrue:
      return number != 0;
    default:
      return number != option.neutral;
  }
}

// A field that is missing or null stays unset.
CheckpointGeneration read_object(const JsonValue& object) {
  if (!object.is_object()) object.fail_expected("an object");
  CheckpointGeneration found;
  GenerationOptions::for_each(
      [&](const char* name, auto& field) {
        const auto value = object.find(name);
        if (!value) return;
        found.where[name] = value->where();
        try {
          if constexpr (std::is_same_v<decltype(field), std::optional<bool>&>) {
            if (std::string_view(name) == "do_sample") return read_do_sample(*value, field);
          }
          read(*value, field.emplace());
        } catch (const Error& error) {
          field.reset();
          found.problems[name] = error.what();
        }
      },
      found.options);
  for (const Lacking& option : kLacking) {
    const auto value = object.find(option.name);
    if (value && does_something(option, *value)) {
      found.lacking.push_back({std::string(option.name), value->where(), option.concerns});
    }
  }
  if (const auto time = object.find("max_time")) {
    found.warnings.push_back(
        fmt::format("{}: is not honoured; a call has a time limit, --timeout, and keeps what it has with --partial",
                    time->where()));
  }
  return found;
}

// Old BARTs have a flag that says that a sequence begins with bos_token_id; transformers reads it where it makes the
// options of a config.json, or of a file that was made of one.
void force_bos(const JsonValue& object, CheckpointGeneration& found) {
  const auto flag = object.find("force_bos_token_to_be_generated");
  if (!flag) return;
  const bool is_number = flag->type() == JsonValue::Type::kNumber || flag->type() == JsonValue::Type::kBool;
  if (is_number && read_number(*flag) == 0) return;
  found.options.forced_bos_token_id = found.options.bos_token_id;
  found.where["forced_bos_token_id"] = flag->where();
  found.problems.erase("forced_bos_token_id");
  const auto problem = found.problems.find("bos_token_id");
  if (problem != found.problems.end()) found.problems["forced_bos_token_id"] = problem->second;
}

}  // namespace

CheckpointGeneration CheckpointGeneration::over(const CheckpointGeneration& defaults) const {
  CheckpointGeneration merged = *this;
  const auto is_mine = [this](const std::string& name) { return where.contains(name); };
  merged.options = options.over(defaults.options);
  for (const auto& [name, problem] : problems) {  // A value of mine that can't be read hides the other.
    GenerationOptions::for_each(
        [&name](const char* field_name, auto& field) {
          if (name == field_name) field.reset();
        },
        merged.options);
  }
  for (const auto& [name, place] : defaults.where) merged.where.try_emplace(name, place);
  for (const auto& [name, problem] : defaults.problems) {
    if (!is_mine(name)) merged.problems.try_emplace(name, problem);
  }
  for (const LackingOption& option : defaults.lacking) {
    if (std::ranges::find(lacking, option.name, &LackingOption::name) == lacking.end()) {
      merged.lacking.push_back(option);
    }
  }
  merged.warnings.insert(merged.warnings.end(), defaults.warnings.begin(), defaults.warnings.end());
  return merged;
}

CheckpointGeneration read_generation_config(const JsonValue& generation_config, const JsonValue* config) {
  CheckpointGeneration found = read_object(generation_config);
  const auto made_of_config = generation_config.find("_from_model_config");
  if (made_of_config && made_of_config->type() == JsonValue::Type::kBool && made_of_config->as_bool()) {
    force_bos(generation_config, found);
  }
  const bool has_start = found.where.contains("decoder_start_token_id") || found.where.contains("bos_token_id");
  if (config != nullptr && !has_start) {
    const CheckpointGeneration other = read_legacy_config(*config);
    CheckpointGeneration start;
    start.options.decoder_start_token_id = other.options.decoder_start_token_id;
    start.options.bos_token_id = other.options.bos_token_id;
    for (const char* name : {"decoder_start_token_id", "bos_token_id"}) {
      if (const auto place = other.where.find(name); place != other.where.end()) start.where.insert(*place);
      if (const auto problem = other.problems.find(name); problem != other.problems.end()) {
        start.problems.insert(*problem);
      }
    }
    found = found.over(start);
  }
  return found;
}

CheckpointGeneration read_legacy_config(const JsonValue& config) {
  CheckpointGeneration found = read_object(config);
  force_bos(config, found);
  return found;
}

CheckpointGeneration read_task_params(const JsonValue& config) {
  const auto tasks = config.find("task_specific_params");
  const auto summarization = tasks && tasks->is_object() ? tasks->find("summarization") : std::nullopt;
  return summarization ? read_object(*summarization) : CheckpointGeneration();
}

}  // namespace remuda
