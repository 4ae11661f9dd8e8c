#include "models/gpu_bart_weights.h"

#include <cmath>

#include "models/gpu_shapes.h"
#include "models/gpu_weights.h"

namespace remuda::models {
namespace {

void add_embedding(const BartEmbedding& embedding, int64_t size, remuda::cuda::HostBartSide& side) {
  side.words = gpu_matrix(embedding.tokens);
  side.positions = embedding.positions.data() + BartEmbedding::kPositionOffset * size;
  side.embedding_gamma = embedding.norm.gamma.data();
  side.embedding_beta = embedding.norm.beta.data();
}

remuda::cuda::HostBartDecoderLayer decoder_layer_of(const BartLayerTensors& layer) {
  return {.own = gpu_layer(layer.own),
          .cross_query = gpu_matrix(layer.cross_query),
          .cross_key = gpu_matrix(layer.cross_key),
          .cross_value = gpu_matrix(layer.cross_value),
          .cross_output = gpu_matrix(layer.cross_output),
          .cross_query_bias = layer.cross_query_bias.data(),
          .cross_key_bias = layer.cross_key_bias.data(),
          .cross_value_bias = layer.cross_value_bias.data(),
          .cross_output_bias = layer.cross_output_bias.data(),
          .cross_gamma = layer.cross_norm.gamma.data(),
          .cross_beta = layer.cross_norm.beta.data()};
}

}  // namespace

GpuBartWeights::GpuBartWeights(const io::BartConfig& config, const io::Checkpoint& checkpoint, Precision precision) {
  const BartWeights weights(config, checkpoint);
  encoder_embedding_ = weights.encoder_embedding();
  decoder_embedding_ = weights.decoder_embedding();
  output_bias_ = weights.output_bias();
  host_ = gpu_sizes(config);
  host_.layer_norm_epsilon = encoder_embedding_.norm.epsilon;
  host_.embedding_scale = config.scale_embedding ? std::sqrt(static_cast<float>(config.d_model)) : 1.0f;
  host_.activation = gpu_activation(activation_of(config.activation_function));
  host_.computed_as = gpu_number_type(precision);
  add_embedding(encoder_embedding_, config.d_model, host_.encoder);
  add_embedding(decoder_embedding_, config.d_model, host_.decoder);
  host_.output = gpu_matrix(weights.output_tensor());
  host_.output_bias = output_bias_.size() > 0 ? output_bias_.data() : nullptr;
  add_layers(weights, config);
}

void GpuBartWeights::add_layers(const BartWeights& weights, const io::BartConfig& config) {
  for (int64_t i = 0; i < config.encoder_layers; ++i) encoder_layers_.push_back(weights.encoder_layer_tensors(i));
  for (int64_t i = 0; i < config.decoder_layers; ++i) decoder_layers_.push_back(weights.decoder_layer_tensors(i));
  for (const BartLayerTensors& layer : encoder_layers_) host_encoder_layers_.push_back(gpu_layer(layer.own));
  for (const BartLayerTensors& layer : decoder_layers_) host_decoder_layers_.push_back(decoder_layer_of(layer));
  host_.encoder_layers = host_encoder_layers_.data();
  host_.decoder_layers = host_decoder_layers_.data();
}

}  // namespace remuda::models
