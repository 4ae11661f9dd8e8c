#include "models/bart_directory.h"

#include <algorithm>

#include "base/fail.h"
#include "base/files.h"
#include "base/json.h"
#include "io/model_directory.h"

namespace remuda::models {
namespace {

GenerationOptions read_generation(const std::filesystem::path& path) {
  const JsonDocument config = JsonDocument::parse_file(path / "config.json");
  if (!file_exists(path / "generation_config.json")) return read_legacy_config(config.root());
  const JsonDocument generation = JsonDocument::parse_file(path / "generation_config.json");
  const JsonValue root = config.root();
  return read_generation_config(generation.root(), &root);
}

}  // namespace

BartDirectory read_bart_directory(const std::filesystem::path& path) {
  if (!file_exists(path / "config.json")) {
    fail(ErrorCode::kNotFound, "{}: expected a model directory with config.json, found none", path.string());
  }
  BartDirectory directory;
  directory.path = path;
  directory.config = io::read_bart_config(path / "config.json");
  directory.generation = read_generation(path);
  const int64_t longest = io::read_tokenizer_max_length(path);
  directory.window = directory.config.max_position_embeddings;
  if (longest > 0) directory.window = std::min(directory.window, longest);
  return directory;
}

std::shared_ptr<const GenerationPlan> make_plan(const BartDirectory& directory, const GenerationOptions& options) {
  const GenerationLimits limits = {.vocabulary = directory.config.vocab_size,
                                   .max_positions = directory.config.max_position_embeddings};
  return std::make_shared<const GenerationPlan>(resolve(options.over(directory.generation), limits));
}

}  // namespace remuda::models
