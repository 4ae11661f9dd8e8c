// A model directory as a whole: the transformer, the chain of modules behind it, limits and prompts.
#include "io/model_directory.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/fail.h"
#include "base/files.h"
#include "base/json.h"
#include "io/directory_kind.h"
#include "io/module_chain.h"
#include "io/module_files.h"

namespace remuda::io {
namespace {

constexpr std::array<std::string_view, 4> kSimilarities = {"cosine", "dot", "euclidean", "manhattan"};

// Without a limit of the model's own it is the tokenizer's, and never more than there are positions.
void settle_max_seq_length(const ModelDirectory& model, EmbeddingPipeline& pipeline) {
  pipeline.max_seq_length = pipeline.transformer.max_seq_length;
  if (pipeline.max_seq_length == 0) pipeline.max_seq_length = read_tokenizer_max_length(model.transformer);
  const int64_t most = model.encoder.max_sequence_length();
  pipeline.max_seq_length = pipeline.max_seq_length == 0 ? most : std::min(pipeline.max_seq_length, most);
}

void read_prompts(const JsonValue& root, EmbeddingPipeline& pipeline) {
  if (const auto prompts = root.find("prompts")) {
    for (const auto& [name, text] : prompts->members()) {
      // Null is a prompt of no text.
      pipeline.prompts[std::string(name)] = text.is_null() ? "" : text.as_string();
    }
  }
  pipeline.default_prompt_name = root.string_or("default_prompt_name", "");
  if (!pipeline.default_prompt_name.empty() && !pipeline.prompts.contains(pipeline.default_prompt_name)) {
    root.at("default_prompt_name").fail_expected("the name of a prompt in \"prompts\"");
  }
}

// config_sentence_transformers.json, which counts beside a modules.json alone.
void read_settings(const std::filesystem::path& directory, EmbeddingPipeline& pipeline) {
  const auto path = directory / "config_sentence_transformers.json";
  if (!file_exists(path)) return;
  const JsonDocument document = JsonDocument::parse_file(path);
  const JsonValue root = document.root();
  warn_of_unknown_keys(root, {"__version__", "prompts", "default_prompt_name", "similarity_fn_name", "truncate_dim",
                              "model_type", "requirements"});
  read_prompts(root, pipeline);
  if (const auto similarity = root.find("similarity_fn_name"); similarity && similarity->is_string()) {
    const bool is_known = std::ranges::find(kSimilarities, similarity->as_string()) != kSimilarities.end();
    if (is_known) pipeline.similarity = similarity->as_string();
  }
  if (const auto truncate = root.find("truncate_dim")) {
    // As a slice in Python: what is negative says how many numbers go.
    const int64_t given = truncate->as_int();
    const int64_t dimension = given < 0 ? pipeline.width + std::max(given, -pipeline.width) : given;
    if (dimension < 1) truncate->fail_expected("what leaves at least one number");
    pipeline.dimension = std::min(pipeline.width, dimension);
  }
}

void read_chain(ModelDirectory& model) {
  const std::vector<ModuleEntry> entries = read_module_entries(model.path);
  model.transformer = entries.front().directory;
  EmbeddingPipeline& pipeline = model.pipeline;
  pipeline.transformer = read_transformer_options(model.transformer);
  require_token_vectors(pipeline.transformer);
  pipeline.do_lower_case = pipeline.transformer.do_lower_case;
  model.encoder = read_encoder_config(model.transformer / "config.json", pipeline.transformer.config);
  ChainWidths widths{.tokens = model.encoder.hidden_size};
  pipeline.modules = read_modules(entries, model.encoder.output_hidden_states, widths);
  for (const ModuleConfig& module : pipeline.modules) {
    const auto* layers = std::get_if<LayerPoolingConfig>(&module);
    if (layers == nullptr || layers->first_layer + layers->num_layers == model.encoder.num_layers + 1) continue;
    fail(ErrorCode::kInvalidFile, "{}: num_hidden_layers: expected {}, the transformer's layers, found {}",
         (layers->directory / "config.json").string(), model.encoder.num_layers,
         layers->first_layer + layers->num_layers - 1);
  }
  pipeline.width = widths.sentence;
  pipeline.dimension = widths.sentence;
  read_settings(model.path, pipeline);
}

// An encoder alone: sentence-transformers puts a pooling behind it, and none of its own files count.
void read_plain(ModelDirectory& model) {
  model.transformer = model.path;
  model.encoder = read_encoder_config(model.path / "config.json");
  const PoolingMode mode = model.encoder.is_causal_lm ? PoolingMode::kLastToken : PoolingMode::kMean;
  model.pipeline.modules = {PoolingConfig{.modes = {mode}}};
  model.pipeline.width = model.encoder.hidden_size;
  model.pipeline.dimension = model.encoder.hidden_size;
}

bool is_plain(const DenseConfig& dense) { return dense.features == Features::kSentence && !dense.residual; }

}  // namespace

std::optional<PlainChain> plain_chain(const EmbeddingPipeline& pipeline) {
  if (pipeline.modules.empty() || pipeline.dimension != pipeline.width) return std::nullopt;
  PlainChain chain;
  for (size_t i = 0; i < pipeline.modules.size(); ++i) {
    const ModuleConfig& module = pipeline.modules[i];
    if (chain.normalize) return std::nullopt;
    if (const auto* pooling = std::get_if<PoolingConfig>(&module); pooling != nullptr && i == 0) {
      chain.pooling = *pooling;
    } else if (const auto* dense = std::get_if<DenseConfig>(&module); dense != nullptr && i > 0 && is_plain(*dense)) {
      chain.dense.push_back(*dense);
    } else if (const auto* normalize = std::get_if<NormalizeConfig>(&module);
               normalize != nullptr && i > 0 && normalize->features == Features::kSentence) {
      chain.normalize = true;
    } else {
      return std::nullopt;
    }
  }
  return chain;
}

ModelDirectory read_model_directory(const std::filesystem::path& path) {
  if (!file_exists(path)) fail(ErrorCode::kNotFound, "{}: expected a model directory, found nothing", path.string());
  if (!std::filesystem::is_directory(path)) {
    fail(ErrorCode::kNotFound, "{}: expected a model directory, found a file", path.string());
  }
  require_model_for("embeddings", path);
  ModelDirectory model;
  model.path = path;
  model.pipeline.prompts = {{"query", ""}, {"document", ""}};
  if (file_exists(path / "modules.json")) {
    read_chain(model);
  } else {
    read_plain(model);
  }
  settle_max_seq_length(model, model.pipeline);
  return model;
}

}  // namespace remuda::io
