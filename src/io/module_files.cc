#include "io/module_files.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <set>
#include <string>

#include "base/fail.h"
#include "base/files.h"
#include "base/log.h"

namespace remuda::io {
namespace {

constexpr int64_t kMaxFeatures = 1 << 20;
constexpr int64_t kMaxKernels = 64;
constexpr int64_t kMaxKernelSize = 255;
constexpr int64_t kMaxLayers = 1024;

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

// A class path: torch.nn.modules.activation.Tanh. One from elsewhere sentence-transformers doesn't import, unless it
// is told to trust the model's code: it takes Tanh.
ActivationFunction parse_dense_activation(const JsonValue& root) {
  const auto json = root.find("activation_function");
  if (!json) return ActivationFunction::kTanh;
  const std::string_view path = json->as_string();
  if (!path.starts_with("torch.")) {
    warn_once(
        fmt::format("{}: \"{}\" is not torch's, so that it isn't trusted: Tanh is used, as sentence-transformers "
                    "does it",
                    json->where(), path));
    return ActivationFunction::kTanh;
  }
  if (const auto function = activation_by_torch_class(path.substr(path.rfind('.') + 1))) return *function;
  fail(ErrorCode::kUnsupported, "{}: expected one of torch.nn's {}, found \"{}\"", json->where(),
       known_torch_activations(), path);
}

// The features of a module that has the same for input and output.
Features parse_features(const JsonValue& root) {
  const auto input = root.find("module_input_name");
  const std::string_view name = input ? input->as_string() : "sentence_embedding";
  if (name != "sentence_embedding" && name != "token_embeddings") {
    fail(ErrorCode::kUnsupported, "{}: expected sentence_embedding or token_embeddings, found \"{}\"", input->where(),
         name);
  }
  if (const auto output = root.find("module_output_name"); output && output->as_string() != name) {
    fail(ErrorCode::kUnsupported, "{}: expected {}, as module_input_name has it, found \"{}\"", output->where(), name,
         output->as_string());
  }
  return name == "token_embeddings" ? Features::kTokens : Features::kSentence;
}

}  // namespace

void warn_once(const std::string& message) {
  static std::mutex mutex;
  static auto* const said = new std::set<std::string>;
  {
    const std::lock_guard lock(mutex);
    if (!said->insert(message).second) return;
  }
  log::warning("{}", message);
}

void warn_of_unknown_keys(const JsonValue& root, std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : root.members()) {
    if (std::ranges::find(known, key) == known.end()) {
      warn_once(fmt::format("{}: unknown here, and not used", value.where()));
    }
  }
}

PoolingConfig read_pooling(const std::filesystem::path& directory) {
  const JsonDocument document = JsonDocument::parse_file(directory / "config.json");
  const JsonValue root = document.root();
  // The dimensions are the encoder's, whatever the file says of them.
  warn_of_unknown_keys(
      root, {"embedding_dimension", "word_embedding_dimension", "pooling_mode", "include_prompt", kPoolings[0].flag,
             kPoolings[1].flag, kPoolings[2].flag, kPoolings[3].flag, kPoolings[4].flag, kPoolings[5].flag});
  return {parse_modes(root), root.bool_or("include_prompt", true)};
}

DenseConfig read_dense(const std::filesystem::path& directory) {
  const JsonDocument document = JsonDocument::parse_file(directory / "config.json");
  const JsonValue root = document.root();
  warn_of_unknown_keys(root, {"in_features", "out_features", "bias", "activation_function", "module_input_name",
                              "module_output_name", "use_residual"});
  return {.in_features = root.at("in_features").as_int(1, kMaxFeatures),
          .out_features = root.at("out_features").as_int(1, kMaxFeatures),
          .bias = root.bool_or("bias", true),
          .activation = parse_dense_activation(root),
          .features = parse_features(root),
          .residual = root.bool_or("use_residual", false),
          .directory = directory};
}

NormalizeConfig read_normalize(const std::filesystem::path& directory) {
  const auto path = directory / "config.json";
  // Until version 6 it had none. Where the module's directory is the model's, the file is the encoder's.
  if (!file_exists(path)) return {};
  const JsonDocument document = JsonDocument::parse_file(path);
  return {parse_features(document.root())};
}

LayerNormConfig read_layer_norm(const std::filesystem::path& directory) {
  const JsonDocument document = JsonDocument::parse_file(directory / "config.json");
  const JsonValue root = document.root();
  warn_of_unknown_keys(root, {"dimension"});
  return {root.at("dimension").as_int(1, kMaxFeatures), directory};
}

LayerPoolingConfig read_layer_pooling(const std::filesystem::path& directory) {
  const JsonDocument document = JsonDocument::parse_file(directory / "config.json");
  const JsonValue root = document.root();
  warn_of_unknown_keys(root, {"embedding_dimension", "word_embedding_dimension", "layer_start", "num_hidden_layers"});
  LayerPoolingConfig config;
  config.first_layer = root.int_or("layer_start", 4, 0, kMaxLayers);
  const int64_t layers = root.int_or("num_hidden_layers", 12, 1, kMaxLayers);
  config.num_layers = layers + 1 - config.first_layer;
  if (config.num_layers < 1) root.at("layer_start").fail_expected(fmt::format("at most num_hidden_layers {}", layers));
  config.directory = directory;
  return config;
}

CnnConfig read_cnn(const std::filesystem::path& directory) {
  const JsonDocument document = JsonDocument::parse_file(directory / "cnn_config.json");
  const JsonValue root = document.root();
  warn_of_unknown_keys(
      root, {"in_embedding_dimension", "in_word_embedding_dimension", "out_channels", "kernel_sizes", "stride_sizes"});
  CnnConfig config;
  const char* in_features =
      root.find("in_embedding_dimension") ? "in_embedding_dimension" : "in_word_embedding_dimension";
  config.in_features = root.at(in_features).as_int(1, kMaxFeatures);
  config.out_channels = root.int_or("out_channels", 256, 1, kMaxFeatures);
  if (const auto sizes = root.find("kernel_sizes")) {
    for (const JsonValue& size : sizes->items()) {
      config.kernel_sizes.push_back(size.as_int(1, kMaxKernelSize));
      // Another gives a token less than it takes, and the next module has no mask for that.
      if (config.kernel_sizes.back() % 2 == 0) size.fail_expected("an odd size");
    }
    if (sizes->items().empty()) sizes->fail_expected("at least one size");
    if (std::ssize(config.kernel_sizes) > kMaxKernels)
      sizes->fail_expected(fmt::format("at most {} sizes", kMaxKernels));
  } else {
    config.kernel_sizes = {1, 3, 5};
  }
  if (const auto strides = root.find("stride_sizes")) {
    for (const JsonValue& stride : strides->items()) {
      if (stride.as_int() != 1) {
        fail(ErrorCode::kUnsupported, "{}: expected a stride of 1, found {}", stride.where(), stride.as_int());
      }
    }
  }
  config.directory = directory;
  return config;
}

}  // namespace remuda::io
