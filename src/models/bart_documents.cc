#include "models/bart_documents.h"

#include <algorithm>

#include "base/fail.h"

namespace remuda::models {

void check_vocabulary(std::span<const int32_t> ids, int64_t vocab_size) {
  const auto bad = std::ranges::find_if(ids, [&](int32_t id) { return id < 0 || id >= vocab_size; });
  if (bad != ids.end()) {
    fail(ErrorCode::kInvalidArgument, "token {}: expected an id from 0 to {}, found {}", bad - ids.begin(),
         vocab_size - 1, *bad);
  }
}

void check_documents(const io::BartConfig& config, const RaggedIds& batch) {
  for (int64_t i = 0; i < batch.sequences(); ++i) {
    const int64_t length = batch.offsets[i + 1] - batch.offsets[i];
    if (length < 1 || length > config.max_position_embeddings) {
      fail(ErrorCode::kInvalidArgument, "document {}: expected 1 to {} tokens, found {}", i,
           config.max_position_embeddings, length);
    }
  }
  check_vocabulary(batch.ids, config.vocab_size);
}

void check_limits(const io::BartConfig& config, std::span<const DecodeLimits> limits, int64_t documents) {
  if (static_cast<int64_t>(limits.size()) != documents) {
    fail(ErrorCode::kInvalidArgument, "expected decoding limits for each of {} documents, found {}", documents,
         limits.size());
  }
  for (const DecodeLimits& limit : limits) {
    if (limit.max_rows < 1 || limit.max_rows > config.vocab_size || limit.max_positions < 1 ||
        limit.max_positions > config.max_position_embeddings) {
      fail(ErrorCode::kInvalidArgument,
           "decoding limits: expected 1 to {} sequences of 1 to {} tokens, found {} sequences of {} tokens",
           config.vocab_size, config.max_position_embeddings, limit.max_rows, limit.max_positions);
    }
  }
}

}  // namespace remuda::models
