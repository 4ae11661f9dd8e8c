#include "generation/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <string_view>

#include "base/fail.h"

namespace remuda {

namespace {

// transformers generates 20 tokens where neither the caller nor the checkpoint says how many.
constexpr int64_t kDefaultNewTokens = 20;
// The decoder begins with its start token alone.
constexpr int64_t kPromptLength = 1;
// Beyond it a length is a mistake where the decoder has no limit, and arithmetic on it need not be checked.
constexpr int64_t kMaxLength = int64_t{1} << 24;
// The same where it has one; a file may ask for any length.
constexpr int64_t kMaxFileLength = int64_t{1} << 53;

// Takes options one by one, each from who says it, and checks what it is then used for.
class Resolver {
 public:
  Resolver(const GenerationOptions& given, const CheckpointGeneration& checkpoint, const GenerationLimits& limits)
      : given_(given), checkpoint_(checkpoint), limits_(limits) {}

  GenerationPlan resolve();

 private:
  template <typename T>
  using Field = std::optional<T> GenerationOptions::*;

  bool is_off(std::string_view name) const { return std::ranges::find(given_.none, name) != given_.none.end(); }
  bool is_given(std::string_view name) const {
    bool found = false;
    GenerationOptions::for_each(
        [&](const char* option, const auto& field) { found = found || (name == option && field.has_value()); }, given_);
    return found;
  }

  // What errors call an option: its name where the caller set it, else the file and the key.
  std::string called(const char* name) const {
    const auto place = checkpoint_.where.find(name);
    const bool is_file = !is_given(name) && !is_off(name) && place != checkpoint_.where.end();
    return is_file ? place->second : name;
  }

  template <typename... Args>
  [[noreturn]] void refuse(const char* name, fmt::format_string<Args...> format, Args&&... args) const {
    const bool is_file = !is_given(name) && checkpoint_.where.contains(name);
    fail(is_file ? ErrorCode::kInvalidFile : ErrorCode::kInvalidArgument, "{}{}", called(name),
         fmt::format(format, std::forward<Args>(args)...));
  }

  template <typename T>
  std::optional<T> take(const char* name, Field<T> field) const {
    if (given_.*field) return given_.*field;
    if (is_off(name)) return std::nullopt;
    const auto problem = checkpoint_.problems.find(name);
    if (problem != checkpoint_.problems.end()) fail(ErrorCode::kInvalidFile, "{}", problem->second);
    return checkpoint_.options.*field;
  }
  template <typename T>
  void set(const char* name, Field<T> field, T& value) const {
    if (const std::optional<T> found = take(name, field)) value = *found;
  }

  // `least` holds for whoever says it; what a file says below `least` but is not refused means `least`.
  void set_whole(const char* name, Field<int64_t> field, int64_t least, int64_t most, int64_t& value) const;
  void set_or_least(const char* name, Field<int64_t> field, int64_t& value) const;
  void set_positive(const char* name, Field<double> field, double& value) const;

  // Ids that have to be the vocabulary's.
  void check_id(const char* name, int32_t id) const;
  void set_id(const char* name, Field<int32_t> field, std::optional<int32_t>& value) const;
  // Those of a checkpoint that the vocabulary doesn't have never come, and mean nothing.
  void set_possible_ids(const char* name, Field<TokenIds> field, TokenIds& value) const;

  void resolve_modes();
  void resolve_sampling();
  void resolve_rules();
  void resolve_ids();
  void resolve_words();
  void resolve_start();
  void resolve_max_length();
  void resolve_min_length();
  void check_sequences() const;
  void check_forced() const;
  void refuse_lacking() const;

  const GenerationOptions& given_;
  const CheckpointGeneration& checkpoint_;
  const GenerationLimits& limits_;
  GenerationPlan plan_;
  std::string max_name_;  // What says the greatest length.
};

void Resolver::set_whole(const char* name, Field<int64_t> field, int64_t least, int64_t most, int64_t& value) const {
  const std::optional<int64_t> found = take(name, field);
  if (!found) return;
  if (*found < least || *found > most) refuse(name, " must be from {} to {}, but is {}", least, most, *found);
  value = *found;
}

// transformers takes a count below 0 for none.
void Resolver::set_or_least(const char* name, Field<int64_t> field, int64_t& value) const {
  const std::optional<int64_t> found = take(name, field);
  if (!found) return;
  const int64_t most = is_given(name) ? kMaxLength : kMaxFileLength;
  if (*found > most || (*found < 0 && is_given(name))) refuse(name, " must be from 0 to {}, but is {}", most, *found);
  value = std::max<int64_t>(0, *found);
}

void Resolver::set_positive(const char* name, Field<double> field, double& value) const {
  const std::optional<double> found = take(name, field);
  if (!found) return;
  // Scores are floats: what is 0 to them divides by 0.
  const bool is_positive = static_cast<float>(*found) > 0;
  const bool is_finite = std::isfinite(*found) || !is_given(name);
  if (!is_positive || !is_finite) {
    const char* why = *found > 0 && is_finite ? " that is above 0 as a 32-bit float, too" : "";
    refuse(name, " must be a number above 0{}, but is {}", why, *found);
  }
  value = *found;
}

void Resolver::check_id(const char* name, int32_t id) const {
  if (id >= 0 && id < limits_.vocabulary) return;
  refuse(name, ": the model's vocabulary has the ids 0 to {}, but this is {}", limits_.vocabulary - 1, id);
}

void Resolver::set_id(const char* name, Field<int32_t> field, std::optional<int32_t>& value) const {
  value = take(name, field);
  if (value) check_id(name, *value);
}

void Resolver::set_possible_ids(const char* name, Field<TokenIds> field, TokenIds& value) const {
  set(name, field, value);
  if (is_given(name)) {
    for (const int32_t id : value) check_id(name, id);
  }
  std::erase_if(value, [this](int32_t id) { return id < 0 || id >= limits_.vocabulary; });
}

void Resolver::resolve_modes() {
  set_whole("num_beams", &GenerationOptions::num_beams, 1, limits_.vocabulary, plan_.num_beams);
  set_whole("num_return_sequences", &GenerationOptions::num_return_sequences, 1, kMaxLength,
            plan_.num_return_sequences);
  set("do_sample", &GenerationOptions::do_sample, plan_.do_sample);
  set("seed", &GenerationOptions::seed, plan_.seed);
  set("early_stopping", &GenerationOptions::early_stopping, plan_.early_stopping);
  if (plan_.num_beams == 1) return;
  set("length_penalty", &GenerationOptions::length_penalty, plan_.length_penalty);
  if (is_given("length_penalty") && !std::isfinite(plan_.length_penalty)) {
    refuse("length_penalty", " must be a finite number, but is {}", plan_.length_penalty);
  }
}

void Resolver::resolve_sampling() {
  if (!plan_.do_sample) return;
  set_positive("temperature", &GenerationOptions::temperature, plan_.temperature);
  set_whole("top_k", &GenerationOptions::top_k, 0, INT64_MAX, plan_.top_k);
  const std::optional<double> top_p = take("top_p", &GenerationOptions::top_p);
  if (!top_p) return;
  const bool is_share = *top_p >= 0 && *top_p <= 1;
  // What isn't below 1 keeps everything.
  if (!is_share && (*top_p < 0 || is_given("top_p"))) refuse("top_p", " must be from 0 to 1, but is {}", *top_p);
  plan_.top_p = is_share ? *top_p : 1.0;
}

void Resolver::resolve_rules() {
  set_or_least("no_repeat_ngram_size", &GenerationOptions::no_repeat_ngram_size, plan_.no_repeat_ngram_size);
  set_or_least("encoder_no_repeat_ngram_size", &GenerationOptions::encoder_no_repeat_ngram_size,
               plan_.encoder_no_repeat_ngram_size);
  set_positive("repetition_penalty", &GenerationOptions::repetition_penalty, plan_.repetition_penalty);
  set_positive("encoder_repetition_penalty", &GenerationOptions::encoder_repetition_penalty,
               plan_.encoder_repetition_penalty);
  set("renormalize_logits", &GenerationOptions::renormalize_logits, plan_.renormalize_logits);
  set("remove_invalid_values", &GenerationOptions::remove_invalid_values, plan_.remove_invalid_values);
}

void Resolver::resolve_ids() {
  set_id("forced_bos_token_id", &GenerationOptions::forced_bos_token_id, plan_.forced_bos_token_id);
  set("forced_eos_token_id", &GenerationOptions::forced_eos_token_id, plan_.forced_eos_token_id);
  for (const int32_t id : plan_.forced_eos_token_id) check_id("forced_eos_token_id", id);
  set_possible_ids("suppress_tokens", &GenerationOptions::suppress_tokens, plan_.suppress_tokens);
  set_possible_ids("begin_suppress_tokens", &GenerationOptions::begin_suppress_tokens, plan_.begin_suppress_tokens);
  const std::optional<TokenIds> eos = take("eos_token_id", &GenerationOptions::eos_token_id);
  if (eos && !eos->empty()) plan_.pad_token_id = eos->front();
  set_possible_ids("eos_token_id", &GenerationOptions::eos_token_id, plan_.eos_token_id);
  set("pad_token_id", &GenerationOptions::pad_token_id, plan_.pad_token_id);
  if (is_given("pad_token_id")) check_id("pad_token_id", plan_.pad_token_id);
}

void Resolver::resolve_words() {
  set("bad_words_ids", &GenerationOptions::bad_words_ids, plan_.bad_words_ids);
  for (const TokenIds& word : plan_.bad_words_ids) {
    if (word.empty() && is_given("bad_words_ids")) refuse("bad_words_ids", " has an empty word; remove it");
    for (const int32_t id : word) check_id("bad_words_ids", id);
  }
  // A single bad word that is an eos_token_id would leave nothing to end with; transformers ignores it, too.
  std::erase_if(plan_.bad_words_ids, [this](const TokenIds& word) {
    return word.empty() ||
           (word.size() == 1 && std::ranges::find(plan_.eos_token_id, word[0]) != plan_.eos_token_id.end());
  });
}

void Resolver::resolve_start() {
  const char* name = "decoder_start_token_id";
  std::optional<int32_t> start = take(name, &GenerationOptions::decoder_start_token_id);
  if (is_given("bos_token_id")) check_id("bos_token_id", *given_.bos_token_id);
  if (!start) {
    name = "bos_token_id";
    start = take(name, &GenerationOptions::bos_token_id);
  }
  if (!start) {
    fail(ErrorCode::kInvalidArgument,
         "neither decoder_start_token_id nor bos_token_id is set: the decoder does not know where to begin");
  }
  check_id(name, *start);
  plan_.decoder_start_token_id = *start;
}

void Resolver::resolve_max_length() {
  const int64_t positions = limits_.max_positions;
  const int64_t most = positions > 0 ? kMaxFileLength : kMaxLength;
  const auto new_tokens = take("max_new_tokens", &GenerationOptions::max_new_tokens);
  const char* name = new_tokens ? "max_new_tokens" : "max_length";
  max_name_ = called(name);
  if (new_tokens) {
    int64_t tokens = 0;
    set_whole(name, &GenerationOptions::max_new_tokens, 1, most, tokens);
    plan_.max_length = kPromptLength + tokens;
    if (!is_given(name) && is_given("max_length")) {
      plan_.warnings.push_back(fmt::format("{} {} outweighs max_length, as in transformers; set max_new_tokens instead",
                                           called(name), tokens));
    }
  } else if (take(name, &GenerationOptions::max_length)) {
    set_whole(name, &GenerationOptions::max_length, kPromptLength + 1, most, plan_.max_length);
  } else {
    plan_.max_length = kPromptLength + kDefaultNewTokens;
    if (positions > 0) plan_.max_length = std::min(plan_.max_length, positions);
  }
  plan_.longest = plan_.max_length;
  // The last token is not fed to the decoder again.
  if (positions == 0 || plan_.max_length - 1 <= positions) return;
  plan_.longest = positions + 1;
  plan_.warnings.push_back(fmt::format(
      "{} asks for summaries of up to {} tokens, but the decoder has {} positions: one that hasn't ended by then ends "
      "at {} tokens",
      max_name_, plan_.max_length, positions, plan_.longest));
}

void Resolver::resolve_min_length() {
  const auto new_tokens = take("min_new_tokens", &GenerationOptions::min_new_tokens);
  const char* name = new_tokens ? "min_new_tokens" : "min_length";
  int64_t tokens = 0;
  set_or_least(name, new_tokens ? &GenerationOptions::min_new_tokens : &GenerationOptions::min_length, tokens);
  plan_.min_length = new_tokens ? kPromptLength + tokens : tokens;
  if (new_tokens && !is_given(name) && is_given("min_length")) {
    plan_.warnings.push_back(fmt::format("{} {} outweighs min_length, as in transformers; set min_new_tokens instead",
                                         called(name), *new_tokens));
  }
  if (plan_.min_length <= plan_.max_length) return;
  plan_.warnings.push_back(fmt::format(
      "{} asks for at least {} tokens and {} for at most {} (both with the start token): summaries end at {}",
      called(name), plan_.min_length, max_name_, plan_.max_length, std::min(plan_.longest, plan_.max_length)));
}

void Resolver::check_sequences() const {
  const char* name = "num_return_sequences";
  if (plan_.num_beams == 1 && !plan_.do_sample && plan_.num_return_sequences > 1) {
    refuse(name, " is {}, but greedy search (num_beams 1, do_sample false) has one result; use beams or sampling",
           plan_.num_return_sequences);
  }
  if (plan_.num_beams > 1 && plan_.num_return_sequences > plan_.num_beams) {
    refuse(name, " ({}) must not be greater than num_beams ({})", plan_.num_return_sequences, plan_.num_beams);
  }
  if (plan_.num_beams > 1 && static_cast<int64_t>(plan_.eos_token_id.size()) + 1 > plan_.vocabulary) {
    fail(ErrorCode::kInvalidArgument, "beam search needs a token that is no eos_token_id, but all {} are",
         plan_.vocabulary);
  }
}

// A step that forces a token which is suppressed leaves none; transformers refuses it, too.
void Resolver::check_forced() const {
  const auto check = [this](const char* name, const TokenIds& forced) {
    const auto is_suppressed = [this](int32_t id) {
      return std::ranges::find(plan_.suppress_tokens, id) != plan_.suppress_tokens.end();
    };
    if (forced.empty() || !std::ranges::all_of(forced, is_suppressed)) return;
    refuse(name, " forces a token that suppress_tokens forbids; remove it from the one or the other");
  };
  if (plan_.forced_bos_token_id) check("forced_bos_token_id", {*plan_.forced_bos_token_id});
  check("forced_eos_token_id", plan_.forced_eos_token_id);
}

void Resolver::refuse_lacking() const {
  const auto concerns_plan = [this](LackingOption::Concerns concerns) {
    const bool is_contrastive =
        plan_.num_beams == 1 && !plan_.do_sample && take("top_k", &GenerationOptions::top_k).value_or(plan_.top_k) > 1;
    switch (concerns) {
      case LackingOption::Concerns::kSampling:
        return plan_.do_sample;
      case LackingOption::Concerns::kBeams:
        return plan_.num_beams > 1;
      case LackingOption::Concerns::kSingleBeam:
        return plan_.num_beams == 1;
      case LackingOption::Concerns::kContrastive:
        return is_contrastive;
      case LackingOption::Concerns::kAll:
        break;
    }
    return true;
  };
  for (const LackingOption& option : checkpoint_.lacking) {
    if (!concerns_plan(option.concerns)) continue;
    fail(ErrorCode::kUnsupported, "{}: remuda does not have this option of transformers; remove it from the file",
         option.where);
  }
}

GenerationPlan Resolver::resolve() {
  if (limits_.vocabulary < 1) {
    fail(ErrorCode::kInvalidArgument, "a model that generates needs a vocabulary, but this one's size is {}",
         limits_.vocabulary);
  }
  plan_.vocabulary = limits_.vocabulary;
  plan_.warnings = checkpoint_.warnings;
  resolve_modes();
  resolve_sampling();
  resolve_rules();
  resolve_ids();
  resolve_words();
  resolve_start();
  resolve_max_length();
  resolve_min_length();
  check_sequences();
  check_forced();
  refuse_lacking();
  return std::move(plan_);
}

}  // namespace

GenerationPlan resolve(const GenerationOptions& options, const CheckpointGeneration& checkpoint,
                       const GenerationLimits& limits) {
  return Resolver(options, checkpoint, limits).resolve();
}

GenerationPlan resolve(const GenerationOptions& options, const GenerationLimits& limits) {
  return resolve(options, CheckpointGeneration(), limits);
}

}  // namespace remuda
