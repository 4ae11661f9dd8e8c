// What a model directory is good for.
#pragma once

#include <string>

namespace remuda {

enum class ModelKind { kEmbedding, kSummarization };

// By config.json's model_type: summaries for a BART, embeddings for whatever else there is. Throws Error: kNotFound,
// kInvalidFile.
ModelKind find_model_kind(const std::string& model_name);

}  // namespace remuda
