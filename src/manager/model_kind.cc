#include "manager/model_kind.h"

#include "base/files.h"
#include "base/json.h"
#include "hub/resolve.h"

namespace remuda {

ModelKind find_model_kind(const std::string& model_name) {
  const auto config = hub::resolve_model(model_name, hub::Needs::kConfiguration) / "config.json";
  // Where sentence-transformers keeps the configuration in a module's directory, the model is one of its own.
  if (!file_exists(config)) return ModelKind::kEmbedding;
  const JsonDocument document = JsonDocument::parse_file(config);
  return document.root().string_or("model_type", "") == "bart" ? ModelKind::kSummarization : ModelKind::kEmbedding;
}

}  // namespace remuda
