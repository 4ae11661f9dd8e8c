#include "generation/options.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/fail.h"

namespace remuda {

namespace {

// transformers generates 20 tokens where neither the caller nor the checkpoint says how many.
constexpr int64_t kDefaultNewTokens = 20;
// The decoder begins with its start token alone.
constexpr int64_t kPromptLength = 1;
// Beyond it a length is a mistake, and arithmetic on it need not be checked.
constexpr int64_t kMaxLength = int64_t{1} << 24;

template <typename T>
void check_range(const char* name, const std::optional<T>& value, T min, T max) {
  if (!value || (*value >= min && *value <= max)) return;
  fail(ErrorCode::kInvalidArgument, "{} must be from {} to {}, but is {}", name, min, max, *value);
}

void check_positive(const char* name, const std::optional<double>& value) {
  if (!value || (*value > 0 && std::isfinite(*value))) return;
  fail(ErrorCode::kInvalidArgument, "{} must be a number above 0, but is {}", name, *value);
}

void check_id(const char* name, int32_t id, int64_t vocabulary) {
  if (id >= 0 && id < vocabulary) return;
  fail(ErrorCode::kInvalidArgument, "{}: the model's vocabulary has the ids 0 to {}, but this is {}", name,
       vocabulary - 1, id);
}

// For GenerationOptions::for_each: every id must be one of the vocabulary.
struct IdCheck {
  int64_t vocabulary;

  void operator()(const char* name, const std::optional<int32_t>& id) const {
    if (id) check_id(name, *id, vocabulary);
  }
  void operator()(const char* name, const std::optional<TokenIds>& ids) const {
    if (!ids) return;
    for (const int32_t id : *ids) check_id(name, id, vocabulary);
  }
  void operator()(const char* name, const std::optional<std::vector<TokenIds>>& words) const {
    if (!words) return;
    for (const TokenIds& word : *words) {
      if (word.empty()) fail(ErrorCode::kInvalidArgument, "{} has an empty word; remove it", name);
      for (const int32_t id : word) check_id(name, id, vocabulary);
    }
  }
  template <typename T>
  void operator()(const char*, const std::optional<T>&) const {}
};

void check_values(const GenerationOptions& options, int64_t vocabulary) {
  check_range<int64_t>("num_beams", options.num_beams, 1, vocabulary);
  check_range<int64_t>("num_return_sequences", options.num_return_sequences, 1, kMaxLength);
  check_positive("temperature", options.temperature);
  check_range<int64_t>("top_k", options.top_k, 0, INT64_MAX);
  check_range("top_p", options.top_p, 0.0, 1.0);
  check_positive("repetition_penalty", options.repetition_penalty);
  if (options.length_penalty && !std::isfinite(*options.length_penalty)) {
    fail(ErrorCode::kInvalidArgument, "length_penalty must be a finite number, but is {}", *options.length_penalty);
  }
  check_range<int64_t>("max_length", options.max_length, kPromptLength + 1, kMaxLength);
  check_range<int64_t>("max_new_tokens", options.max_new_tokens, 1, kMaxLength);
  check_range<int64_t>("min_length", options.min_length, 0, kMaxLength);
  check_range<int64_t>("min_new_tokens", options.min_new_tokens, 0, kMaxLength);
  check_range<int64_t>("no_repeat_ngram_size", options.no_repeat_ngram_size, 0, kMaxLength);
  check_range<int64_t>("encoder_no_repeat_ngram_size", options.encoder_no_repeat_ngram_size, 0, kMaxLength);
}

// max_length and min_length, from whichever of the options says them.
void resolve_lengths(const GenerationOptions& options, int64_t max_positions, GenerationPlan& plan) {
  std::string max_name = "max_length";
  if (options.max_new_tokens) {
    plan.max_length = kPromptLength + *options.max_new_tokens;
    max_name = "max_new_tokens";
  } else if (options.max_length) {
    plan.max_length = *options.max_length;
  } else {
    plan.max_length = kPromptLength + kDefaultNewTokens;
    if (max_positions > 0) plan.max_length = std::min(plan.max_length, max_positions);
  }
  // The last token is not fed to the decoder again.
  if (max_positions > 0 && plan.max_length - 1 > max_positions) {
    fail(ErrorCode::kInvalidArgument, "{} asks for sequences of {} tokens, but the decoder has {} positions", max_name,
         plan.max_length, max_positions);
  }
  plan.min_length = options.min_new_tokens ? kPromptLength + *options.min_new_tokens : options.min_length.value_or(0);
  if (plan.min_length > plan.max_length) {
    fail(ErrorCode::kInvalidArgument,
         "{} asks for at least {} tokens and {} for at most {} (both with the start token); lower the one or raise "
         "the other",
         options.min_new_tokens ? "min_new_tokens" : "min_length", plan.min_length, max_name, plan.max_length);
  }
}

void check_beams(const GenerationPlan& plan) {
  if (plan.num_beams == 1 && !plan.do_sample && plan.num_return_sequences > 1) {
    fail(ErrorCode::kInvalidArgument,
         "num_return_sequences is {}, but greedy search (num_beams 1, do_sample false) has one result; use beams or "
         "sampling",
         plan.num_return_sequences);
  }
  if (plan.num_beams > 1 && plan.num_return_sequences > plan.num_beams) {
    fail(ErrorCode::kInvalidArgument, "num_return_sequences ({}) must not be greater than num_beams ({})",
         plan.num_return_sequences, plan.num_beams);
  }
  if (plan.num_beams > 1 && static_cast<int64_t>(plan.eos_token_id.size()) + 1 > plan.vocabulary) {
    fail(ErrorCode::kInvalidArgument, "beam search needs a token that is no eos_token_id, but all {} are",
         plan.vocabulary);
  }
}

}  // namespace

GenerationPlan resolve(const GenerationOptions& options, const GenerationLimits& limits) {
  if (limits.vocabulary < 1) {
    fail(ErrorCode::kInvalidArgument, "a model that generates needs a vocabulary, but this one's size is {}",
         limits.vocabulary);
  }
  check_values(options, limits.vocabulary);
  GenerationOptions::for_each(IdCheck{limits.vocabulary}, options);
  GenerationPlan plan;
  plan.vocabulary = limits.vocabulary;
  resolve_lengths(options, limits.max_positions, plan);
  const auto set = [](auto& field, const auto& value) {
    if (value) field = *value;
  };
  set(plan.num_beams, options.num_beams);
  set(plan.num_return_sequences, options.num_return_sequences);
  set(plan.do_sample, options.do_sample);
  set(plan.temperature, options.temperature);
  set(plan.top_k, options.top_k);
  set(plan.top_p, options.top_p);
  set(plan.seed, options.seed);
  set(plan.length_penalty, options.length_penalty);
  set(plan.early_stopping, options.early_stopping);
  set(plan.no_repeat_ngram_size, options.no_repeat_ngram_size);
  set(plan.encoder_no_repeat_ngram_size, options.encoder_no_repeat_ngram_size);
  set(plan.repetition_penalty, options.repetition_penalty);
  set(plan.forced_bos_token_id, options.forced_bos_token_id);
  set(plan.forced_eos_token_id, options.forced_eos_token_id);
  set(plan.bad_words_ids, options.bad_words_ids);
  set(plan.suppress_tokens, options.suppress_tokens);
  set(plan.begin_suppress_tokens, options.begin_suppress_tokens);
  set(plan.eos_token_id, options.eos_token_id);
  if (!options.decoder_start_token_id && !options.bos_token_id) {
    fail(ErrorCode::kInvalidArgument,
         "neither decoder_start_token_id nor bos_token_id is set: the decoder does not know where to begin");
  }
  plan.decoder_start_token_id =
      options.decoder_start_token_id ? *options.decoder_start_token_id : *options.bos_token_id;
  if (!plan.eos_token_id.empty()) plan.pad_token_id = plan.eos_token_id.front();
  set(plan.pad_token_id, options.pad_token_id);
  check_beams(plan);
  // A single bad word that is an eos_token_id would leave nothing to end with; transformers ignores it, too.
  std::erase_if(plan.bad_words_ids, [&](const TokenIds& word) {
    return word.size() == 1 && std::ranges::find(plan.eos_token_id, word[0]) != plan.eos_token_id.end();
  });
  return plan;
}

}  // namespace remuda
