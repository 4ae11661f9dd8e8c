// From what is asked of a generation to what is done.
//
// Three sources are laid over one another, as transformers does it: what the caller set, else what the checkpoint says
// (generation_config.json), else transformers' defaults. So every field of GenerationOptions is optional, and
// `resolve` makes of the whole a GenerationPlan, in which nothing is left open and everything has been checked.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/json.h"
#include "remuda/generation_options.h"

namespace remuda {

// A checkpoint's options, from its generation_config.json. `config` is its config.json, from which comes only a start
// token that generation_config.json lacks. Throws Error(kInvalidFile) that names the field for a value of a wrong type,
// Error(kUnsupported) for an option of transformers that remuda does not have and that is not switched off.
GenerationOptions read_generation_config(const JsonValue& generation_config, const JsonValue* config = nullptr);

// The same for an old checkpoint, which has no generation_config.json: options stand in config.json, and those for
// summaries in its task_specific_params.summarization, which come first (as in transformers' summarization pipeline, as
// long as there was one; `generate` itself reads no task_specific_params).
GenerationOptions read_legacy_config(const JsonValue& config);

// What the model can do.
struct GenerationLimits {
  int64_t vocabulary = 0;     // Logits a row.
  int64_t max_positions = 0;  // Positions of the decoder; 0 where it has no limit.
};

// Everything decided. Lengths count the start token.
struct GenerationPlan {
  int64_t vocabulary = 0;
  int64_t num_beams = 1;
  int64_t num_return_sequences = 1;
  bool do_sample = false;
  double temperature = 1.0;
  int64_t top_k = 50;
  double top_p = 1.0;
  int64_t seed = 0;
  double length_penalty = 1.0;
  EarlyStopping early_stopping = EarlyStopping::kFalse;
  int64_t max_length = 20;
  int64_t min_length = 0;
  int64_t no_repeat_ngram_size = 0;
  int64_t encoder_no_repeat_ngram_size = 0;
  double repetition_penalty = 1.0;
  std::optional<int32_t> forced_bos_token_id;
  TokenIds forced_eos_token_id;
  std::vector<TokenIds> bad_words_ids;
  TokenIds suppress_tokens;
  TokenIds begin_suppress_tokens;
  int32_t decoder_start_token_id = 0;
  TokenIds eos_token_id;
  // For who lays results side by side in a matrix; the first eos_token_id where no pad_token_id is set, -1 where there
  // is neither.
  int32_t pad_token_id = -1;
};

// Throws Error(kInvalidArgument) that names the option for one that contradicts another, itself or the model. Where
// transformers only warns (a minimum above the maximum, more beams than tokens) this is an error.
GenerationPlan resolve(const GenerationOptions& options, const GenerationLimits& limits);

}  // namespace remuda
