// What a generation is asked to do, under the names of Hugging Face transformers (5.x).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace remuda {

// When beam search ends, once there are num_beams finished sequences: false: when the best running one is unlikely to
// get better, judged at its length of now; true: at once; never: judged at the most favourable length.
enum class EarlyStopping { kFalse, kTrue, kNever };

using TokenIds = std::vector<int32_t>;

// An unset field is one that the caller, or the checkpoint, has no opinion on. Lengths are in tokens; max_length and
// min_length count the decoder's start token, max_new_tokens and min_new_tokens do not and outweigh them.
struct GenerationOptions {
  std::optional<int64_t> num_beams = std::nullopt;
  std::optional<int64_t> num_return_sequences = std::nullopt;
  std::optional<bool> do_sample = std::nullopt;
  std::optional<double> temperature = std::nullopt;
  std::optional<int64_t> top_k = std::nullopt;  // 0 for all.
  std::optional<double> top_p = std::nullopt;
  // Of the project's own random numbers: the same seed gives the same tokens, whatever is decoded beside them. 0 where
  // unset. transformers' generator is another one, so its draws differ and its distribution does not.
  std::optional<int64_t> seed = std::nullopt;
  std::optional<double> length_penalty = std::nullopt;
  std::optional<EarlyStopping> early_stopping = std::nullopt;
  std::optional<int64_t> max_length = std::nullopt;
  std::optional<int64_t> max_new_tokens = std::nullopt;
  std::optional<int64_t> min_length = std::nullopt;
  std::optional<int64_t> min_new_tokens = std::nullopt;
  std::optional<int64_t> no_repeat_ngram_size = std::nullopt;          // 0 for off, and so below.
  std::optional<int64_t> encoder_no_repeat_ngram_size = std::nullopt;  // Forbids what stands in the document.
  std::optional<double> repetition_penalty = std::nullopt;
  std::optional<double> encoder_repetition_penalty = std::nullopt;  // Above 1 favours what stands in the document.
  std::optional<int32_t> forced_bos_token_id = std::nullopt;
  std::optional<TokenIds> forced_eos_token_id = std::nullopt;
  std::optional<std::vector<TokenIds>> bad_words_ids = std::nullopt;
  std::optional<TokenIds> suppress_tokens = std::nullopt;
  std::optional<TokenIds> begin_suppress_tokens = std::nullopt;
  std::optional<int32_t> decoder_start_token_id = std::nullopt;  // bos_token_id where unset.
  std::optional<int32_t> bos_token_id = std::nullopt;
  std::optional<TokenIds> eos_token_id = std::nullopt;
  std::optional<int32_t> pad_token_id = std::nullopt;
  std::optional<bool> renormalize_logits = std::nullopt;     // Scores are log-probabilities again after all rules.
  std::optional<bool> remove_invalid_values = std::nullopt;  // A NaN scores 0, an infinity the greatest float.

  // Names of options that are switched off: what the checkpoint says of them doesn't count. An option that has a value
  // here is not off.
  std::vector<std::string> none = {};

  // Calls visit(name, field of a, field of b, ...) for every option, by its name in transformers; for reading, merging,
  // and the command line's flags, so that none of them forgets one. Each argument is a (const) GenerationOptions.
  template <typename Visitor, typename... Options>
  static void for_each(Visitor&& visit, Options&... options);

  // These options, and those of `defaults` where these are unset and not switched off.
  GenerationOptions over(const GenerationOptions& defaults) const;

  friend bool operator==(const GenerationOptions&, const GenerationOptions&) = default;
};

template <typename Visitor, typename... Options>
void GenerationOptions::for_each(Visitor&& visit, Options&... options) {
  visit("num_beams", options.num_beams...);
  visit("num_return_sequences", options.num_return_sequences...);
  visit("do_sample", options.do_sample...);
  visit("temperature", options.temperature...);
  visit("top_k", options.top_k...);
  visit("top_p", options.top_p...);
  visit("seed", options.seed...);
  visit("length_penalty", options.length_penalty...);
  visit("early_stopping", options.early_stopping...);
  visit("max_length", options.max_length...);
  visit("max_new_tokens", options.max_new_tokens...);
  visit("min_length", options.min_length...);
  visit("min_new_tokens", options.min_new_tokens...);
  visit("no_repeat_ngram_size", options.no_repeat_ngram_size...);
  visit("encoder_no_repeat_ngram_size", options.encoder_no_repeat_ngram_size...);
  visit("repetition_penalty", options.repetition_penalty...);
  visit("encoder_repetition_penalty", options.encoder_repetition_penalty...);
  visit("forced_bos_token_id", options.forced_bos_token_id...);
  visit("forced_eos_token_id", options.forced_eos_token_id...);
  visit("bad_words_ids", options.bad_words_ids...);
  visit("suppress_tokens", options.suppress_tokens...);
  visit("begin_suppress_tokens", options.begin_suppress_tokens...);
  visit("decoder_start_token_id", options.decoder_start_token_id...);
  visit("bos_token_id", options.bos_token_id...);
  visit("eos_token_id", options.eos_token_id...);
  visit("pad_token_id", options.pad_token_id...);
  visit("renormalize_logits", options.renormalize_logits...);
  visit("remove_invalid_values", options.remove_invalid_values...);
}

}  // namespace remuda
