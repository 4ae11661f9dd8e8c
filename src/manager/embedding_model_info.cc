#include "manager/embedding_model_info.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <system_error>

#include "base/fail.h"
#include "hub/resolve.h"
#include "io/safetensors.h"

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

// Weight bytes of a product with `out` outputs of `in` inputs, bias in fp32. Panels are padded to 16 or 64
// outputs; at the sizes of real models that is nothing.
uint64_t linear_bytes(int64_t out, int64_t in, Precision precision) {
  const int64_t element = precision == Precision::kFp32 ? 4 : precision == Precision::kBf16 ? 2 : 1;
  const int64_t per_channel = precision == Precision::kInt8 ? 8 : 0;  // The scale, and the sum of the weights.
  return static_cast<uint64_t>(out * (in * element + per_channel + 4));
}

}  // namespace

EmbeddingModelInfo describe(const std::string& name, const io::ModelDirectory& directory) {
  const io::EncoderConfig& encoder = directory.encoder;
  const io::Checkpoint checkpoint = io::Checkpoint::open(directory.transformer);
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
  info.parameters = checkpoint.parameter_count();
  for (const io::MappedFile& file : checkpoint.files()) {
    info.files.push_back(file.path().string());
    info.file_bytes += file.bytes().size();
  }
  info.modules = describe_modules(directory.pipeline);
  for (const auto& [prompt_name, prompt] : directory.pipeline.prompts) info.prompts.push_back(prompt_name);
  return info;
}

std::string file_identity(const io::ModelDirectory& directory) {
  std::vector<std::filesystem::path> files;
  std::error_code error, no_file;
  // However the directory was named, and from where, its files have the same names.
  const std::filesystem::path root = std::filesystem::canonical(directory.path, no_file);
  std::filesystem::recursive_directory_iterator entry(no_file ? directory.path : root, error);
  for (; !error && entry != std::filesystem::recursive_directory_iterator(); entry.increment(error)) {
    if (entry->is_regular_file(no_file)) files.push_back(entry->path());
  }
  if (error) fail(ErrorCode::kIo, "{}: can't be listed: {}", directory.path.string(), error.message());
  std::ranges::sort(files);
  std::string identity;
  for (const auto& file : files) {
    struct stat status{};
    if (stat(file.c_str(), &status) != 0) continue;
    // A file that takes another's name may have its size and time too.
    identity += fmt::format("{}:{}:{}:{}.{:09};", file.string(), status.st_ino, status.st_size, status.st_mtim.tv_sec,
                            status.st_mtim.tv_nsec);
  }
  return identity;
}

EmbeddingModelInfo inspect_embedding_model(const std::string& name) {
  return describe(name, io::read_model_directory(hub::resolve_model(name)));
}

MemoryCost estimate_memory(const EmbeddingModelInfo& info, Precision precision, int64_t max_batch_tokens) {
  const int64_t hidden = info.hidden_size;
  const int64_t inner = info.intermediate_size;
  const uint64_t layer = linear_bytes(3 * hidden, hidden, precision) + linear_bytes(hidden, hidden, precision) +
                         linear_bytes(inner, hidden, precision) + linear_bytes(hidden, inner, precision);
  MemoryCost cost;
  cost.shared_weights = static_cast<uint64_t>(info.num_layers) * layer +
                        static_cast<uint64_t>(info.max_positions * hidden) * sizeof(float);
  const int64_t tokens = std::max(max_batch_tokens, info.max_seq_length);
  // The hidden states, and scratch for query, key, value and context or for the inner layer.
  cost.workspace = static_cast<uint64_t>(tokens * (hidden + std::max(4 * hidden, inner))) * sizeof(float);
  return cost;
}

}  // namespace remuda
