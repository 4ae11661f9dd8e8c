#include "models/gpu_encoder_weights.h"

#include "base/fail.h"
#include "nn/relative_bias.h"

namespace remuda::models {
namespace {

cuda::NumberType number_type(Precision precision) {
  switch (precision) {
    case Precision::kFp32:
      return remuda::cuda::NumberType::kFloat32;
    case Precision::kFp16:
      return remuda::cuda::NumberType::kFloat16;
    case Precision::kBf16:
      return remuda::cuda::NumberType::kBFloat16;
    default:
      break;
  }
  fail(ErrorCode::kUnsupported, "precision: expected fp32, bf16 or fp16 on a GPU, found {}", to_string(precision));
}

// WeightReader and Checkpoint have seen to it that it is one of these.
cuda::HostMatrix matrix_of(const TensorView& view) {
  const remuda::cuda::NumberType type = view.dtype == DType::kF32   ? remuda::cuda::NumberType::kFloat32
                                        : view.dtype == DType::kF16 ? remuda::cuda::NumberType::kFloat16
                                                                    : remuda::cuda::NumberType::kBFloat16;
  return {.data = view.data, .type = type, .reserved = 0};
}

cuda::HostEncoderLayer layer_of(const EncoderLayerTensors& layer) {
  return {.query = matrix_of(layer.query),
          .key = matrix_of(layer.key),
          .value = matrix_of(layer.value),
          .attention_output = matrix_of(layer.attention_output),
          .query_bias = layer.query_bias.data(),
          .key_bias = layer.key_bias.data(),
          .value_bias = layer.value_bias.data(),
          .attention_output_bias = layer.attention_output_bias.data(),
          .attention_gamma = layer.attention_norm.gamma.data(),
          .attention_beta = layer.attention_norm.beta.data(),
          .intermediate = matrix_of(layer.intermediate),
          .output = matrix_of(layer.output),
          .intermediate_bias = layer.intermediate_bias.data(),
          .output_bias = layer.output_bias.data(),
          .output_gamma = layer.output_norm.gamma.data(),
          .output_beta = layer.output_norm.beta.data()};
}

// The other side's numbers are written out there.
static_assert(static_cast<int>(kernels::Activation::kGelu) == static_cast<int>(remuda::cuda::ActivationKind::kGelu));
static_assert(static_cast<int>(kernels::Activation::kTanh) == static_cast<int>(remuda::cuda::ActivationKind::kTanh));
static_assert(static_cast<int>(io::PoolingMode::kCls) == static_cast<int>(remuda::cuda::PoolingKind::kCls));
static_assert(static_cast<int>(io::PoolingMode::kMax) == static_cast<int>(remuda::cuda::PoolingKind::kMax));
static_assert(static_cast<int>(io::PoolingMode::kLastToken) == static_cast<int>(remuda::cuda::PoolingKind::kLastToken));

}  // namespace

GpuEncoderWeights::GpuEncoderWeights(const io::ModelDirectory& directory, Precision precision)
    : config_(directory.encoder), checkpoint_(io::Checkpoint::open(directory.transformer)) {
  const EncoderWeights weights(config_, checkpoint_);
  positions_ = weights.position_embeddings();
  embedding_norm_ = weights.embedding_norm();
  host_.vocab_size = static_cast<int32_t>(config_.vocab_size);
  host_.hidden_size = static_cast<int32_t>(config_.hidden_size);
  host_.num_layers = static_cast<int32_t>(config_.num_layers);
  host_.num_heads = static_cast<int32_t>(config_.num_heads);
  host_.intermediate_size = static_cast<int32_t>(config_.intermediate_size);
  host_.max_positions = static_cast<int32_t>(config_.max_positions);
  host_.layer_norm_epsilon = static_cast<float>(config_.layer_norm_eps);
  host_.activation = static_cast<remuda::cuda::ActivationKind>(activation_of(config_.hidden_act));
  host_.computed_as = number_type(precision);
  host_.normalizes = directory.pipeline.normalize ? 1 : 0;
  host_.words = matrix_of(weights.word_embeddings());
  host_.positions = positions_.data();
  host_.embedding_gamma = embedding_norm_.gamma.data();
  host_.embedding_beta = embedding_norm_.beta.data();
  if (config_.relative_attention_num_buckets > 0) {
    relative_bias_ = nn::spread_relative_bias(weights.relative_attention_bias(), config_.max_positions - 1);
    host_.relative_bias = relative_bias_.data();
  }
  add_layers(weights);
  for (const io::PoolingMode mode : directory.pipeline.pooling.modes) {
    host_poolings_.push_back(static_cast<remuda::cuda::PoolingKind>(mode));
  }
  host_.num_poolings = static_cast<int32_t>(host_poolings_.size());
  host_.poolings = host_poolings_.data();
  add_dense(directory);
}

void GpuEncoderWeights::add_layers(const EncoderWeights& weights) {
  for (int64_t i = 0; i < config_.num_layers; ++i) layers_.push_back(weights.layer_tensors(i));
  for (const EncoderLayerTensors& layer : layers_) host_layers_.push_back(layer_of(layer));
  host_.layers = host_layers_.data();
}

void GpuEncoderWeights::add_dense(const io::ModelDirectory& directory) {
  const std::vector<io::DenseConfig>& configs = directory.pipeline.dense;
  // Not moved any more: what host_dense_ has points into them.
  dense_checkpoints_.reserve(configs.size());
  dense_biases_.reserve(configs.size());
  for (const io::DenseConfig& config : configs) {
    const io::Checkpoint& checkpoint = dense_checkpoints_.emplace_back(io::Checkpoint::open(config.directory));
    FloatTensor& bias = dense_biases_.emplace_back();
    if (config.bias) bias = FloatTensor::from(checkpoint.get("linear.bias", {config.out_features}));
    host_dense_.push_back(
        {.weight = matrix_of(checkpoint.get("linear.weight", {config.out_features, config.in_features})),
         .bias = config.bias ? bias.data() : nullptr,
         .in_features = static_cast<int32_t>(config.in_features),
         .out_features = static_cast<int32_t>(config.out_features),
         .activation = static_cast<remuda::cuda::ActivationKind>(dense_activation_of(config.activation)),
         .reserved = 0});
  }
  host_.num_dense = static_cast<int32_t>(host_dense_.size());
  host_.dense = host_dense_.data();
}

}  // namespace remuda::models
