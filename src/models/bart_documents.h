// Documents as a BART encodes them, on whatever device.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "io/bart_config.h"
#include "models/bart_memory.h"
#include "models/transformer_encoder.h"

namespace remuda::models {

// All throw Error(kInvalidArgument): where an id is outside the vocabulary; where a document is empty, or longer than
// max_position_embeddings, too; where there are not limits for each document, or ones that the model can't reach.
void check_vocabulary(std::span<const int32_t> ids, int64_t vocab_size);
void check_documents(const io::BartConfig& config, const RaggedIds& batch);
void check_limits(const io::BartConfig& config, std::span<const DecodeLimits> limits, int64_t documents);

// Calls encode(part, number of its first document) for documents that follow each other and have up to so many tokens
// together, or are alone.
void encode_in_parts(const RaggedIds& batch, int64_t max_tokens,
                     const std::function<void(const RaggedIds& part, size_t first)>& encode);

}  // namespace remuda::models
