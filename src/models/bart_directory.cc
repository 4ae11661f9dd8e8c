#include "models/bart_directory.h"

#include <algorithm>

#include "base/fail.h"
#include "base/files.h"
#include "base/json.h"
#include "base/log.h"
#include "io/model_directory.h"

namespace remuda::models {
namespace {

// Where generation_config.json is no JSON at all, transformers goes on as if there were none.
std::optional<JsonDocument> read_generation_json(const std::filesystem::path& path) {
  if (!file_exists(path)) return std::nullopt;
  try {
    return JsonDocument::parse_file(path);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalidFile) throw;
    log::warning("{}; the options of config.json are taken, as transformers does", error.what());
    return std::nullopt;
  }
}

CheckpointGeneration read_generation(const std::filesystem::path& path, const JsonValue& config) {
  const std::optional<JsonDocument> generation = read_generation_json(path / "generation_config.json");
  return generation ? read_generation_config(generation->root(), &config) : read_legacy_config(config);
}

// Of the task, else of the model.
std::string read_prefix(const JsonValue& config) {
  const auto tasks = config.find("task_specific_params");
  const auto task = tasks && tasks->is_object() ? tasks->find("summarization") : std::nullopt;
  if (task && task->is_object() && task->find("prefix")) return task->string_or("prefix", "");
  return config.string_or("prefix", "");
}

}  // namespace

BartDirectory read_bart_directory(const std::filesystem::path& path, bool task_params) {
  if (!file_exists(path / "config.json")) {
    fail(ErrorCode::kNotFound, "{}: expected a model directory with config.json, found none", path.string());
  }
  BartDirectory directory;
  directory.path = path;
  directory.config = io::read_bart_config(path / "config.json");
  const JsonDocument config = JsonDocument::parse_file(path / "config.json");
  directory.generation = read_generation(path, config.root());
  if (task_params) {
    directory.generation = read_task_params(config.root()).over(directory.generation);
    directory.prefix = read_prefix(config.root());
  }
  const int64_t longest = io::read_tokenizer_max_length(path);
  directory.window = directory.config.max_position_embeddings;
  if (longest > 0) directory.window = std::min(directory.window, longest);
  return directory;
}

std::shared_ptr<const GenerationPlan> make_plan(const BartDirectory& directory, const GenerationOptions& options) {
  const GenerationLimits limits = {.vocabulary = directory.config.vocab_size,
                                   .max_positions = directory.config.max_position_embeddings};
  return std::make_shared<const GenerationPlan>(resolve(options, directory.generation, limits));
}

}  // namespace remuda::models
