// Documents as a BART encodes them, on whatever device.
#pragma once

#include <cstdint>
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

}  // namespace remuda::models
