// The sentence-transformers module chain around an encoder.
#include "io/model_directory.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/fail.h"
#include "base/files.h"
#include "base/json.h"

namespace remuda::io {
namespace {

constexpr int64_t kMaxFeatures = 1 << 20;
constexpr int64_t kMaxLength = 1 << 20;

struct PoolingName {
  std::string_view name;  // In "pooling_mode".
  const char* flag;       // As older files have it.
  PoolingMode mode;
};
// In the order in which sentence-transformers concatenates modes that are given as flags.
constexpr std::array<PoolingName, 6> kPoolings = {{
    {"cls", "pooling_mode_cls_token", PoolingMode::kCls},
    {"max", "pooling_mode_max_tokens", PoolingMode::kMax},
    {"mean", "pooling_mode_mean_tokens", PoolingMode::kMean},
    {"mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens", PoolingMode::kMeanSqrtLen},
    {"weightedmean", "pooling_mode_weightedmean_tokens", PoolingMode::kWeightedMean},
    {"lasttoken", "pooling_mode_lasttoken", PoolingMode::kLastToken},
}};

PoolingMode parse_mode(const JsonValue& json) {
  const auto found = std::ranges::find(kPoolings, json.as_string(), &PoolingName::name);
  if (found == kPoolings.end()) {
    fail(ErrorCode::kUnsupported,
         "{}: expected cls, max, mean, mean_sqrt_len_tokens, weightedmean or lasttoken, found \"{}\"", json.where(),
         json.as_string());
  }
  return found->mode;
}

std::vector<PoolingMode> parse_modes(const JsonValue& root) {
  std::vector<PoolingMode> modes;
  if (const auto mode = root.find("pooling_mode")) {
    if (mode->is_string()) return {parse_mode(*mode)};
    for (const JsonValue& item : mode->items()) modes.push_back(parse_mode(item));
    if (modes.empty()) mode->fail_expected("at least one mode");
    if (modes.size() > kPoolings.size()) mode->fail_expected(fmt::format("at most {} modes", kPoolings.size()));
    return modes;
  }
  for (const PoolingName& pooling : kPoolings) {
    if (root.bool_or(pooling.flag, false)) modes.push_back(pooling.mode);
  }
  if (modes.empty()) modes.push_back(PoolingMode::kMean);
  return modes;
}

PoolingConfig read_pooling(const std::filesystem::path& directory, int64_t hidden_size) {
  const JsonDocument document = JsonDocument::parse_file(directory / "config.json");
  const JsonValue root = document.root();
  for (const char* field : {"embedding_dimension", "word_embedding_dimension"}) {
    if (const auto size = root.find(field); size && size->as_int() != hidden_size) {
      size->fail_expected(fmt::format("{}, the encoder's hidden size", hidden_size));
    }
  }
  return {parse_modes(root), root.bool_or("include_prompt", true)};
}

std::string parse_dense_activation(const JsonValue& root) {
  const auto json = root.find("activation_function");
  if (!json) return "tanh";
  // A class path: torch.nn.modules.activation.Tanh.
  const std::string_view path = json->as_string();
  const std::string_view name = path.substr(path.rfind('.') + 1);
  if (name == "Identity") return "identity";
  if (name == "Tanh") return "tanh";
  if (name == "ReLU") return "relu";
  if (name == "GELU") return "gelu";
  fail(ErrorCode::kUnsupported, "{}: expected one of torch.nn's Identity, Tanh, ReLU, GELU, found \"{}\"",
       json->where(), path);
}

// Options of newer Dense modules that compute something else than activation(linear(embedding)).
void refuse_dense_variants(const JsonValue& root) {
  if (root.bool_or("use_residual", false)) {
    fail(ErrorCode::kUnsupported, "{}: expected false, found true", root.at("use_residual").where());
  }
  for (const char* field : {"module_input_name", "module_output_name"}) {
    if (const auto name = root.find(field); name && name->as_string() != "sentence_embedding") {
      fail(ErrorCode::kUnsupported, "{}: expected sentence_embedding, found \"{}\"", name->where(), name->as_string());
    }
  }
}

DenseConfig read_dense(const std::filesystem::path& directory, int64_t width) {
  const JsonDocument document = JsonDocument::parse_file(directory / "config.json");
  const JsonValue root = document.root();
  refuse_dense_variants(root);
  DenseConfig config;
  config.in_features = root.at("in_features").as_int(1, kMaxFeatures);
  if (config.in_features != width) {
    root.at("in_features").fail_expected(fmt::format("{}, what the module before gives", width));
  }
  config.out_features = root.at("out_features").as_int(1, kMaxFeatures);
  config.bias = root.bool_or("bias", true);
  config.activation = parse_dense_activation(root);
  config.directory = directory;
  return config;
}

// A module's directory, which must stay inside the model's.
std::filesystem::path module_path(const std::filesystem::path& model, const JsonValue& json) {
  const std::filesystem::path part = std::filesystem::path(json.as_string()).lexically_normal();
  if (part.is_absolute() || (!part.empty() && *part.begin() == "..")) {
    json.fail_expected("a directory inside the model's");
  }
  return part.empty() || part == "." ? model : model / part;
}

struct Module {
  std::string kind;  // "Transformer", "Pooling", ...
  std::filesystem::path directory;
  std::string where;
};

std::vector<Module> read_modules(const std::filesystem::path& path) {
  const JsonDocument document = JsonDocument::parse_file(path / "modules.json");
  std::vector<Module> modules;
  for (const JsonValue& json : document.root().items()) {
    const JsonValue type = json.at("type");
    const std::string_view name = type.as_string();
    // A class of the same name from elsewhere, a model's own code say, may compute anything.
    if (!name.starts_with("sentence_transformers.")) {
      fail(ErrorCode::kUnsupported, "{}: expected a module of sentence_transformers, found \"{}\"", type.where(), name);
    }
    modules.push_back(
        {std::string(name.substr(name.rfind('.') + 1)), module_path(path, json.at("path")), type.where()});
  }
  if (modules.empty()) document.root().fail_expected("at least one module");
  return modules;
}

[[noreturn]] void fail_module(const Module& module, std::string_view expected) {
  fail(ErrorCode::kUnsupported, "{}: expected {}, found {}", module.where, expected, module.kind);
}

// Without a limit of the model's own it is the tokenizer's, and never more than there are positions.
void settle_max_seq_length(const ModelDirectory& model, EmbeddingPipeline& pipeline) {
  if (pipeline.max_seq_length == 0) pipeline.max_seq_length = read_tokenizer_max_length(model.transformer);
  const int64_t most = model.encoder.max_sequence_length();
  pipeline.max_seq_length = pipeline.max_seq_length == 0 ? most : std::min(pipeline.max_seq_length, most);
}

void read_prompts(const std::filesystem::path& directory, EmbeddingPipeline& pipeline) {
  const auto path = directory / "config_sentence_transformers.json";
  if (!file_exists(path)) return;
  const JsonDocument document = JsonDocument::parse_file(path);
  const JsonValue root = document.root();
  if (const auto prompts = root.find("prompts")) {
    for (const auto& [name, text] : prompts->members()) pipeline.prompts.emplace(name, text.as_string());
  }
  pipeline.default_prompt_name = root.string_or("default_prompt_name", "");
  if (!pipeline.default_prompt_name.empty() && !pipeline.prompts.contains(pipeline.default_prompt_name)) {
    root.at("default_prompt_name").fail_expected("the name of a prompt in \"prompts\"");
  }
}

void read_chain(ModelDirectory& model) {
  const std::vector<Module> modules = read_modules(model.path);
  if (modules.front().kind != "Transformer") fail_module(modules.front(), "a Transformer first");
  if (modules.size() < 2 || modules[1].kind != "Pooling") {
    fail_module(modules[std::min<size_t>(1, modules.size() - 1)], "a Pooling after the Transformer");
  }
  model.transformer = modules.front().directory;
  model.encoder = read_encoder_config(model.transformer / "config.json");
  EmbeddingPipeline& pipeline = model.pipeline;
  pipeline.pooling = read_pooling(modules[1].directory, model.encoder.hidden_size);
  int64_t width = model.encoder.hidden_size * static_cast<int64_t>(pipeline.pooling.modes.size());
  for (auto module = modules.begin() + 2; module != modules.end(); ++module) {
    if (pipeline.normalize) fail_module(*module, "nothing after Normalize");
    if (module->kind == "Dense") {
      pipeline.dense.push_back(read_dense(module->directory, width));
      width = pipeline.dense.back().out_features;
    } else if (module->kind == "Normalize") {
      pipeline.normalize = true;
    } else {
      fail_module(*module, "Dense or Normalize");
    }
  }
}

}  // namespace

TransformerOptions read_transformer_options(const std::filesystem::path& directory) {
  for (const char* name : {"sentence_bert_config.json", "sentence_distilbert_config.json"}) {
    if (!file_exists(directory / name)) continue;
    const JsonDocument document = JsonDocument::parse_file(directory / name);
    const JsonValue root = document.root();
    return {root.int_or("max_seq_length", 0, 1, kMaxLength), root.bool_or("do_lower_case", false)};
  }
  return {};
}

int64_t read_tokenizer_max_length(const std::filesystem::path& directory) {
  const auto path = directory / "tokenizer_config.json";
  if (!file_exists(path)) return 0;
  // "No limit" is written as 10^30.
  const double length = JsonDocument::parse_file(path).root().double_or("model_max_length", 0.0);
  return length >= 1.0 && length <= static_cast<double>(kMaxLength) ? static_cast<int64_t>(length) : 0;
}

ModelDirectory read_model_directory(const std::filesystem::path& path) {
  if (!file_exists(path)) fail(ErrorCode::kNotFound, "{}: expected a model directory, found nothing", path.string());
  if (!std::filesystem::is_directory(path)) {
    fail(ErrorCode::kNotFound, "{}: expected a model directory, found a file", path.string());
  }
  ModelDirectory model;
  model.path = path;
  if (file_exists(path / "modules.json")) {
    read_chain(model);
  } else {
    // A plain encoder: sentence-transformers puts mean pooling behind it.
    model.transformer = path;
    model.encoder = read_encoder_config(path / "config.json");
    model.pipeline.pooling.modes = {PoolingMode::kMean};
  }
  const TransformerOptions options = read_transformer_options(model.transformer);
  model.pipeline.max_seq_length = options.max_seq_length;
  model.pipeline.do_lower_case = options.do_lower_case;
  settle_max_seq_length(model, model.pipeline);
  read_prompts(model.path, model.pipeline);
  return model;
}

}  // namespace remuda::io
