// The special tokens around a sequence: the post-processors of tokenizer.json, as far as they concern one sequence.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/json.h"
#include "text/added_tokens.h"
#include "text/vocabulary.h"

namespace remuda::text {

struct SpecialTokens {
  std::vector<int32_t> before;
  std::vector<int32_t> after;

  int64_t size() const { return std::ssize(before) + std::ssize(after); }
};

// From tokenizer.json's "post_processor", whose ids must be among the tokens. Throws Error(kInvalidFile) and
// Error(kUnsupported).
SpecialTokens parse_post_processor(const std::optional<JsonValue>& json, const Vocabulary& vocabulary,
                                   const AddedTokens& added_tokens);

}  // namespace remuda::text
