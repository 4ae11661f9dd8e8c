// What a model directory holds, in the words of the public interface.
#pragma once

#include <string>

#include "io/model_directory.h"
#include "remuda/embedding_model_manager.h"

namespace remuda {

// Reads the checkpoint's header for the parameter count; loads no weights.
EmbeddingModelInfo describe(const std::string& name, const io::ModelDirectory& directory);

}  // namespace remuda
