// The special tokens around a sequence: the post-processors of tokenizer.json, as far as they concern one
// sequence.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/json.h"

namespace remuda::text {

struct SpecialTokens {
  std::vector<int32_t> before;
  std::vector<int32_t> after;

  int64_t size() const { return std::ssize(before) + std::ssize(after); }
};

// From tokenizer.json's "post_processor"; ids must be below `id_limit`. Throws Error(kInvalidFile) and
// Error(kUnsupported).
SpecialTokens parse_post_processor(const std::optional<JsonValue>& json, int32_t id_limit);

}  // namespace remuda::text
