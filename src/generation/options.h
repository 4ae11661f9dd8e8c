// From what is asked of a generation to what is done.
//
// Three sources are laid over one another, as transformers does it: what the caller set, else what the checkpoint says
// (generation_config.json), else transformers' defaults. So every field of GenerationOptions is optional, and
// `resolve` makes of the whole a GenerationPlan, in which nothing is left open and everything has been checked. A value
// that the generation doesn't use is not checked, as in transformers.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "remuda/generation_options.h"

namespace remuda {

// An option of transformers that remuda lacks, with a value that does something to the generations that it concerns.
struct LackingOption {
  enum class Concerns { kAll, kSampling, kBeams, kSingleBeam, kContrastive };
  std::string name;
  std::string where;  // The file and the key.
  Concerns concerns = Concerns::kAll;
};

// What a checkpoint's files say of generation. Nothing of it is an error before a generation uses it.
struct CheckpointGeneration {
  GenerationOptions options;
  // By option: the file and the key that say it, for errors.
  std::map<std::string, std::string, std::less<>> where;
  // By option: what is wrong with a value that can't be read, of which there is none in `options`.
  std::map<std::string, std::string, std::less<>> problems;
  std::vector<LackingOption> lacking;
  std::vector<std::string> warnings;  // About keys that are not honoured and change no result.

  // These, and those of `defaults` where these say nothing.
  CheckpointGeneration over(const CheckpointGeneration& defaults) const;
};

// A checkpoint's options, from its generation_config.json. `config` is its config.json, from which comes only a start
// token that generation_config.json lacks. Throws Error(kInvalidFile) for what is no object.
CheckpointGeneration read_generation_config(const JsonValue& generation_config, const JsonValue* config = nullptr);

// The same for an old checkpoint, which has no generation_config.json: options stand in config.json.
CheckpointGeneration read_legacy_config(const JsonValue& config);

// What config.json's task_specific_params say of summaries, which transformers' `generate` doesn't read; its
// summarization pipeline, as long as there was one, laid them over everything else.
CheckpointGeneration read_task_params(const JsonValue& config);

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
  int64_t max_length = 20;  // What rules and scores go by.
  // Where a sequence ends at the latest: max_length, or less where the decoder has fewer positions. transformers fails
  // for a sequence that comes so far.
  int64_t longest = 20;
  int64_t min_length = 0;
  int64_t no_repeat_ngram_size = 0;
  int64_t encoder_no_repeat_ngram_size = 0;
  double repetition_penalty = 1.0;
  double encoder_repetition_penalty = 1.0;
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
  bool renormalize_logits = false;
  bool remove_invalid_values = false;
  // What the caller should know: minima that can't be kept, lengths that the decoder has no positions for.
  std::vector<std::string> warnings;

  // Whether scores depend on a row as a whole: then no search goes on with the best of its tokens alone.
  bool needs_whole_rows() const {
    return renormalize_logits || remove_invalid_values || encoder_repetition_penalty != 1.0;
  }
};

// Throws Error that names the option: kInvalidArgument for what the caller set and can't be done, kInvalidFile for what
// the checkpoint says, with the file and the key, kUnsupported for an option that remuda lacks.
GenerationPlan resolve(const GenerationOptions& options, const CheckpointGeneration& checkpoint,
                       const GenerationLimits& limits);
// The same without a checkpoint.
GenerationPlan resolve(const GenerationOptions& options, const GenerationLimits& limits);

}  // namespace remuda
