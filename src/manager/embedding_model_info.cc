#include "manager/embedding_model_info.h"

#include <fmt/format.h>

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

std::vector<std::string> describe_modules(const io::EmbeddingPipeline& pipeline) {
  std::string modes;
  for (const io::PoolingMode mode : pipeline.pooling.modes) {
    if (!modes.empty()) modes += '+';
    modes += name_of(mode);
  }
  std::vector<std::string> modules = {"transformer", fmt::format("pooling({})", modes)};
  for (const io::DenseConfig& dense : pipeline.dense) {
    modules.push_back(fmt::format("dense({} -> {}, {})", dense.in_features, dense.out_features, dense.activation));
  }
  if (pipeline.normalize) modules.emplace_back("normalize");
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
  const auto poolings = static_cast<int64_t>(directory.pipeline.pooling.modes.size());
  info.dimension =
      directory.pipeline.dense.empty() ? poolings * encoder.hidden_size : directory.pipeline.dense.back().out_features;
  describe_files(io::Checkpoint::open(directory.transformer), info);
  info.modules = describe_modules(directory.pipeline);
  for (const auto& [prompt_name, prompt] : directory.pipeline.prompts) info.prompts.push_back(prompt_name);
  return info;
}

EmbeddingModelInfo inspect_embedding_model(const std::string& name) {
  return describe(name, io::read_model_directory(hub::resolve_model(name)));
}

}  // namespace remuda
