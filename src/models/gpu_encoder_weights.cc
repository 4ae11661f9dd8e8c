#include "models/gpu_encoder_weights.h"

#include <utility>

#include "base/fail.h"
#include "models/gpu_shapes.h"
#include "models/gpu_weights.h"
#include "nn/relative_bias.h"

namespace remuda::models {
namespace {

// The other side's numbers are written out there.
static_assert(static_cast<int>(kernels::Activation::kGelu) == static_cast<int>(remuda::cuda::ActivationKind::kGelu));
static_assert(static_cast<int>(kernels::Activation::kTanh) == static_cast<int>(remuda::cuda::ActivationKind::kTanh));
static_assert(static_cast<int>(io::PoolingMode::kCls) == static_cast<int>(remuda::cuda::PoolingKind::kCls));
static_assert(static_cast<int>(io::PoolingMode::kMax) == static_cast<int>(remuda::cuda::PoolingKind::kMax));
static_assert(static_cast<int>(io::PoolingMode::kLastToken) == static_cast<int>(remuda::cuda::PoolingKind::kLastToken));

}  // namespace

io::PlainChain gpu_chain(const io::ModelDirectory& directory) {
  if (auto chain = io::plain_chain(directory.pipeline)) return *std::move(chain);
  fail(ErrorCode::kUnsupported, "{}: expected a chain that a GPU has kernels for, found another",
       (directory.path / "modules.json").string());
}

GpuEncoderWeights::GpuEncoderWeights(const io::ModelDirectory& directory, Precision precision)
    : config_(directory.encoder), checkpoint_(io::Checkpoint::open(directory.transformer)) {
  const io::PlainChain chain = gpu_chain(directory);
  const EncoderWeights weights(config_, checkpoint_);
  positions_ = weights.position_embeddings();
  embedding_norm_ = weights.embedding_norm();
  host_ = gpu_sizes(config_);
  host_.layer_norm_epsilon = static_cast<float>(config_.layer_norm_eps);
  host_.activation = gpu_activation(activation_of(config_.hidden_act));
  host_.computed_as = gpu_number_type(precision);
  host_.normalizes = chain.normalize ? 1 : 0;
  host_.words = gpu_matrix(weights.word_embeddings());
  host_.positions = positions_.data();
  host_.embedding_gamma = embedding_norm_.gamma.data();
  host_.embedding_beta = embedding_norm_.beta.data();
  if (config_.relative_attention_num_buckets > 0) {
    relative_bias_ = nn::spread_relative_bias(weights.relative_attention_bias(), config_.max_positions - 1);
    host_.relative_bias = relative_bias_.data();
  }
  add_layers(weights);
  for (const io::PoolingMode mode : chain.pooling.modes) {
    host_poolings_.push_back(static_cast<remuda::cuda::PoolingKind>(mode));
  }
  host_.num_poolings = static_cast<int32_t>(host_poolings_.size());
  host_.poolings = host_poolings_.data();
  add_dense(chain.dense);
}

void GpuEncoderWeights::add_layers(const EncoderWeights& weights) {
  for (int64_t i = 0; i < config_.num_layers; ++i) layers_.push_back(weights.layer_tensors(i));
  for (const EncoderLayerTensors& layer : layers_) host_layers_.push_back(gpu_layer(layer));
  host_.layers = host_layers_.data();
}

void GpuEncoderWeights::add_dense(const std::vector<io::DenseConfig>& configs) {
  // Not moved any more: what host_dense_ has points into them.
  dense_checkpoints_.reserve(configs.size());
  dense_biases_.reserve(configs.size());
  for (const io::DenseConfig& config : configs) {
    const io::Checkpoint& checkpoint = dense_checkpoints_.emplace_back(io::Checkpoint::open(config.directory));
    FloatTensor& bias = dense_biases_.emplace_back();
    if (config.bias) bias = FloatTensor::from(checkpoint.get("linear.bias", {config.out_features}));
    remuda::cuda::HostDense& dense = host_dense_.emplace_back(gpu_sizes(config));
    dense.weight = gpu_matrix(checkpoint.get_table("linear.weight", {config.out_features, config.in_features}));
    dense.bias = config.bias ? bias.data() : nullptr;
    dense.activation = gpu_activation(config.activation);
  }
  host_.num_dense = static_cast<int32_t>(host_dense_.size());
  host_.dense = host_dense_.data();
}

}  // namespace remuda::models
