#include "io/module_chain.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "base/fail.h"
#include "base/files.h"
#include "base/json.h"
#include "io/module_files.h"

namespace remuda::io {
namespace {

constexpr int64_t kMaxWidth = int64_t{1} << 22;
constexpr size_t kMaxModules = 256;

// What versions 0.2 and 0.3 called the class of each model type's transformer.
constexpr std::array<std::string_view, 8> kOldTransformers = {"BERT",       "RoBERTa",   "DistilBERT", "ALBERT",
                                                              "XLMRoBERTa", "CamemBERT", "XLNet",      "T5"};

// A directory inside `parent`, which is the model's or a part of it.
std::filesystem::path inside(const std::filesystem::path& parent, std::string_view name, const JsonValue& json) {
  const std::filesystem::path part = std::filesystem::path(name).lexically_normal();
  if (part.is_absolute() || (!part.empty() && *part.begin() == "..")) {
    json.fail_expected("a directory inside the model's");
  }
  return part.empty() || part == "." ? parent : parent / part;
}

std::string kind_of(const JsonValue& type) {
  const std::string_view name = type.as_string();
  // A class of the same name from elsewhere, a model's own code say, may compute anything.
  if (!name.starts_with("sentence_transformers.")) {
    fail(ErrorCode::kUnsupported, "{}: expected a module of sentence_transformers, found \"{}\"", type.where(), name);
  }
  const std::string_view kind = name.substr(name.rfind('.') + 1);
  const bool is_old = std::ranges::find(kOldTransformers, kind) != kOldTransformers.end();
  return std::string(is_old ? "Transformer" : kind);
}

// The route that Router takes for a text without a task, by its rules' order of precedence.
std::string default_route(const JsonValue& root) {
  const JsonValue structure = root.at("structure");
  const auto parameters = root.find("parameters");
  if (const auto mappings = parameters ? parameters->find("route_mappings") : std::nullopt) {
    for (const char* rule : {"(None, 'text')", "(None, None)"}) {
      if (const auto route = mappings->find(rule)) return std::string(route->as_string());
    }
  }
  if (structure.find("text")) return "text";
  if (parameters) {
    if (const auto route = parameters->find("default_route")) return std::string(route->as_string());
    if (!parameters->bool_or("allow_empty_key", true)) {
      fail(ErrorCode::kUnsupported, "{}: expected a default_route, since embeddings here have no task, found none",
           parameters->where());
    }
  }
  if (structure.members().empty()) structure.fail_expected("at least one route");
  return std::string(structure.members()[0].first);
}

void add_entry(std::vector<ModuleEntry>& entries, ModuleEntry entry, bool may_be_router);

void add_route(std::vector<ModuleEntry>& entries, const ModuleEntry& router) {
  const auto own = router.directory / "router_config.json";
  const JsonDocument document = JsonDocument::parse_file(file_exists(own) ? own : router.directory / "config.json");
  const JsonValue root = document.root();
  const JsonValue types = root.at("types");
  const std::string name = default_route(root);  // A value refers to its key.
  const JsonValue route = root.at("structure").at(name);
  if (route.items().empty()) route.fail_expected("at least one module");
  for (const JsonValue& id : route.items()) {
    const JsonValue type = types.at(id.as_string());
    add_entry(entries, {kind_of(type), inside(router.directory, id.as_string(), id), type.where()}, false);
  }
}

void add_entry(std::vector<ModuleEntry>& entries, ModuleEntry entry, bool may_be_router) {
  if (entry.kind == "Router" || entry.kind == "Asym") {
    if (!may_be_router) fail(ErrorCode::kUnsupported, "{}: expected no Router inside another, found one", entry.where);
    return add_route(entries, entry);
  }
  entries.push_back(std::move(entry));
}

[[noreturn]] void fail_module(const ModuleEntry& module, std::string_view expected) {
  fail(ErrorCode::kUnsupported, "{}: expected {}, found {}", module.where, expected, module.kind);
}

// Checks and widens as each module does it.
class ChainReader {
 public:
  ChainReader(ChainWidths& widths, bool gives_layers) : widths_(widths), gives_layers_(gives_layers) {}

  void add(const ModuleEntry& entry) {
    if (entry.kind == "Pooling") return add_pooling(entry);
    if (entry.kind == "Dense") return add_dense(entry);
    if (entry.kind == "Normalize") return add_normalize(entry);
    if (entry.kind == "LayerNorm") return add_layer_norm(entry);
    if (entry.kind == "WeightedLayerPooling") return add_layer_pooling(entry);
    if (entry.kind == "CNN") return add_cnn(entry);
    if (entry.kind == "Dropout") return need_sentence(entry);
    fail_module(entry, "Pooling, Dense, Normalize, LayerNorm, Dropout, WeightedLayerPooling, CNN or Router");
  }

  std::vector<ModuleConfig> take() { return std::move(modules_); }

 private:
  void need_sentence(const ModuleEntry& entry) const {
    if (widths_.sentence == 0) fail_module(entry, "a Pooling before what takes a text's vector");
  }

  void check_width(const ModuleEntry& entry, const char* file, const char* field, int64_t found,
                   int64_t expected) const {
    if (found == expected) return;
    fail(ErrorCode::kInvalidFile, "{}: {}: expected {}, what the module before gives, found {}",
         (entry.directory / file).string(), field, expected, found);
  }

  void add_pooling(const ModuleEntry& entry) {
    PoolingConfig config = read_pooling(entry.directory);
    widths_.sentence = widths_.tokens * std::ssize(config.modes);
    if (widths_.sentence > kMaxWidth) fail_module(entry, fmt::format("vectors of at most {} numbers", kMaxWidth));
    modules_.emplace_back(std::move(config));
  }

  void add_dense(const ModuleEntry& entry) {
    DenseConfig config = read_dense(entry.directory);
    const bool of_tokens = config.features == Features::kTokens;
    if (!of_tokens) need_sentence(entry);
    int64_t& width = of_tokens ? widths_.tokens : widths_.sentence;
    check_width(entry, "config.json", "in_features", config.in_features, width);
    width = config.out_features;
    modules_.emplace_back(std::move(config));
  }

  void add_normalize(const ModuleEntry& entry) {
    const NormalizeConfig config = read_normalize(entry.directory);
    // Without a vector there is nothing to do, as sentence-transformers has it.
    if (config.features == Features::kSentence && widths_.sentence == 0) return;
    modules_.emplace_back(config);
  }

  void add_layer_norm(const ModuleEntry& entry) {
    need_sentence(entry);
    LayerNormConfig config = read_layer_norm(entry.directory);
    check_width(entry, "config.json", "dimension", config.dimension, widths_.sentence);
    modules_.emplace_back(std::move(config));
  }

  void add_layer_pooling(const ModuleEntry& entry) {
    LayerPoolingConfig config = read_layer_pooling(entry.directory);
    if (!gives_layers_) {
      return warn_once(
          fmt::format("{}: WeightedLayerPooling does nothing, since config.json's output_hidden_states "
                      "isn't true; so sentence-transformers has it",
                      entry.where));
    }
    widths_.tokens = transformer_width_;
    modules_.emplace_back(std::move(config));
  }

  void add_cnn(const ModuleEntry& entry) {
    CnnConfig config = read_cnn(entry.directory);
    check_width(entry, "cnn_config.json", "in_embedding_dimension", config.in_features, widths_.tokens);
    widths_.tokens = config.out_channels * std::ssize(config.kernel_sizes);
    if (widths_.tokens > kMaxWidth) fail_module(entry, fmt::format("vectors of at most {} numbers", kMaxWidth));
    modules_.emplace_back(std::move(config));
  }

  ChainWidths& widths_;
  const bool gives_layers_;
  const int64_t transformer_width_ = widths_.tokens;
  std::vector<ModuleConfig> modules_;
};

}  // namespace

std::vector<ModuleEntry> read_module_entries(const std::filesystem::path& model) {
  const JsonDocument document = JsonDocument::parse_file(model / "modules.json");
  std::vector<ModuleEntry> entries;
  for (const JsonValue& json : document.root().items()) {
    const JsonValue type = json.at("type");
    const JsonValue path = json.at("path");
    add_entry(entries, {kind_of(type), inside(model, path.as_string(), path), type.where()}, true);
    if (entries.size() > kMaxModules) document.root().fail_expected(fmt::format("at most {} modules", kMaxModules));
  }
  if (entries.empty()) document.root().fail_expected("at least one module");
  if (entries.front().kind != "Transformer") fail_module(entries.front(), "a Transformer first");
  return entries;
}

std::vector<ModuleConfig> read_modules(const std::vector<ModuleEntry>& entries, bool gives_layers,
                                       ChainWidths& widths) {
  ChainReader reader(widths, gives_layers);
  for (auto entry = entries.begin() + 1; entry != entries.end(); ++entry) reader.add(*entry);
  if (widths.sentence == 0) fail_module(entries.back(), "a Pooling after the Transformer");
  return reader.take();
}

}  // namespace remuda::io
