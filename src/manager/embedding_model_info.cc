#include "manager/embedding_model_info.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <variant>

#include "hub/resolve.h"
#include "manager/model_files.h"

namespace remuda {
namespace {

std::string_view name_of(io::PoolingMode mode) {
  switch (mode) {
    case io::PoolingMode::kCls:
      return "cls";
    case io::PoolingMode::kMax:
      return "max";
    case io::PoolingMode::kMean:
      return "mean";
    case io::PoolingMode::kMeanSqrtLen:
      return "mean_sqrt_len";
    case io::PoolingMode::kWeightedMean:
      return "weightedmean";
    case io::PoolingMode::kLastToken:
      return "lasttoken";
  }
  return "unknown";
}

std::string_view on(io::Features features) { return features == io::Features::kTokens ? "tokens, " : ""; }

struct ModuleDescription {
  std::string operator()(const io::PoolingConfig& pooling) const {
    std::string modes;
    for (const io::PoolingMode mode : pooling.modes) {
      if (!modes.empty()) modes += '+';
      modes += name_of(mode);
    }
    return fmt::format("pooling({})", modes);
  }
  std::string operator()(const io::DenseConfig& dense) const {
    return fmt::format("dense({}{} -> {}, {}{})", on(dense.features), dense.in_features, dense.out_features,
                       name_of(dense.activation), dense.residual ? ", residual" : "");
  }
  std::string operator()(const io::NormalizeConfig& normalize) const {
    return normalize.features == io::Features::kTokens ? "normalize(tokens)" : "normalize";
  }
  std::string operator()(const io::LayerNormConfig& norm) const {
    return fmt::format("layer_norm({})", norm.dimension);
  }
  std::string operator()(const io::LayerPoolingConfig& layers) const {
    return fmt::format("layer_pooling({} layers from {})", layers.num_layers, layers.first_layer);
  }
  std::string operator()(const io::CnnConfig& cnn) const {
    return fmt::format("cnn({} -> {}, kernels {})", cnn.in_features, cnn.out_channels * std::ssize(cnn.kernel_sizes),
                       fmt::join(cnn.kernel_sizes, " "));
  }
};

std::vector<std::string> describe_modules(const io::EmbeddingPipeline& pipeline) {
  std::vector<std::string> modules = {"transformer"};
  for (const io::ModuleConfig& module : pipeline.modules) modules.push_back(std::visit(ModuleDescription{}, module));
  if (pipeline.dimension < pipeline.width) modules.push_back(fmt::format("truncate({})", pipeline.dimension));
  return modules;
}

}  // namespace

EmbeddingModelInfo describe(const std::string& name, const io::ModelDirectory& directory) {
  const io::EncoderConfig& encoder = directory.encoder;
  EmbeddingModelInfo info;
  info.name = name;
  info.directory = directory.path.string();
  info.architecture = encoder.model_type;
  info.hidden_size = encoder.hidden_size;
  info.num_layers = encoder.num_layers;
  info.num_heads = encoder.num_heads;
  info.intermediate_size = encoder.intermediate_size;
  info.vocab_size = encoder.vocab_size;
  info.max_positions = encoder.max_positions;
  info.max_seq_length = directory.pipeline.max_seq_length;
  info.dimension = directory.pipeline.dimension;
  describe_files(io::Checkpoint::open(directory.transformer), info);
  info.modules = describe_modules(directory.pipeline);
  info.similarity = directory.pipeline.similarity;
  for (const auto& [prompt_name, prompt] : directory.pipeline.prompts) info.prompts.push_back(prompt_name);
  info.similarity = directory.pipeline.similarity;
  info.prompt_texts = directory.pipeline.prompts;
  info.default_prompt_name = directory.pipeline.default_prompt_name;
  info.longest_text = encoder.max_sequence_length();
  return info;
}

EmbeddingModelInfo inspect_embedding_model(const std::string& name) {
  return describe(name, io::read_model_directory(hub::resolve_model(name)));
}

}  // namespace remuda
