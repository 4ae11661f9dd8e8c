#include "manager/generation_check.h"

#include "models/bart_directory.h"

namespace remuda {

void check_generation(const GenerationOptions& options, int64_t max_positions) {
  constexpr int64_t kVocabulary = 50265;
  GenerationOptions defaults;
  defaults.decoder_start_token_id = 2;
  defaults.eos_token_id = TokenIds{2};
  defaults.max_length = max_positions;
  resolve(options.over(defaults), {.vocabulary = kVocabulary, .max_positions = max_positions});
}

}  // namespace remuda
