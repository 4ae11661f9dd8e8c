#include "models/gpu_shapes.h"

#include "base/fail.h"
#include "kernels/elementwise.h"
#include "models/cuda_shapes.h"

namespace remuda::models {
namespace {

namespace gpu = remuda::cuda;

gpu::HostBartSide side_sizes(int64_t layers, int64_t heads, int64_t inner) {
  gpu::HostBartSide side = {};
  side.num_layers = static_cast<int32_t>(layers);
  side.num_heads = static_cast<int32_t>(heads);
  side.inner_size = static_cast<int32_t>(inner);
  return side;
}

std::string activation_problem(const std::string& what, const std::string& name) {
  const auto function = activation_by_name(name);
  if (function && kernels::fused_activation(*function)) return {};
  return what + ": expected identity, gelu, gelu_new, relu or tanh, found " + name;
}

}  // namespace

std::string gpu_shape_problem(const io::ModelDirectory& directory) {
  const io::EncoderConfig& config = directory.encoder;
  std::string problem = gpu::first_problem(
      {gpu::model_size_problem("hidden_size", config.hidden_size),
       gpu::inner_size_problem("intermediate_size", config.intermediate_size),
       gpu::heads_problem("num_attention_heads", config.num_heads, config.hidden_size, gpu::kMaxHeadSize)});
  if (problem.empty()) problem = activation_problem("hidden_act", config.hidden_act);
  if (!problem.empty()) return problem;
  const std::optional<io::PlainChain> chain = io::plain_chain(directory.pipeline);
  if (!chain) {
    return "modules.json: expected a Pooling, Dense layers of the text's vector and a Normalize, found another chain";
  }
  for (const io::DenseConfig& dense : chain->dense) {
    if (problem.empty()) problem = gpu::dense_size_problem("out_features", dense.out_features);
    if (problem.empty()) problem = activation_problem("activation_function", std::string(name_of(dense.activation)));
  }
  return problem;
}

std::string gpu_shape_problem(const io::BartConfig& config) {
  return gpu::first_problem(
      {activation_problem("activation_function", config.activation_function),
       gpu::vocabulary_problem("vocab_size", config.vocab_size), gpu::model_size_problem("d_model", config.d_model),
       gpu::inner_size_problem("encoder_ffn_dim", config.encoder_ffn_dim),
       gpu::inner_size_problem("decoder_ffn_dim", config.decoder_ffn_dim),
       gpu::heads_problem("encoder_attention_heads", config.encoder_attention_heads, config.d_model, gpu::kMaxHeadSize),
       gpu::heads_problem("decoder_attention_heads", config.decoder_attention_heads, config.d_model,
                          gpu::kMaxDecoderHeadSize)});
}

gpu::HostEncoder gpu_sizes(const io::EncoderConfig& config) {
  gpu::HostEncoder host = {};
  host.vocab_size = static_cast<int32_t>(config.vocab_size);
  host.hidden_size = static_cast<int32_t>(config.hidden_size);
  host.num_layers = static_cast<int32_t>(config.num_layers);
  host.num_heads = static_cast<int32_t>(config.num_heads);
  host.intermediate_size = static_cast<int32_t>(config.intermediate_size);
  host.max_positions = static_cast<int32_t>(config.max_positions);
  return host;
}

gpu::HostDense gpu_sizes(const io::DenseConfig& config) {
  gpu::HostDense host = {};
  host.in_features = static_cast<int32_t>(config.in_features);
  host.out_features = static_cast<int32_t>(config.out_features);
  return host;
}

gpu::HostBart gpu_sizes(const io::BartConfig& config) {
  gpu::HostBart host = {};
  host.vocab_size = static_cast<int32_t>(config.vocab_size);
  host.d_model = static_cast<int32_t>(config.d_model);
  host.max_positions = static_cast<int32_t>(config.max_position_embeddings);
  host.encoder = side_sizes(config.encoder_layers, config.encoder_attention_heads, config.encoder_ffn_dim);
  host.decoder = side_sizes(config.decoder_layers, config.decoder_attention_heads, config.decoder_ffn_dim);
  return host;
}

gpu::ActivationKind gpu_activation(ActivationFunction function) {
  const auto fused = kernels::fused_activation(function);
  check_invariant(fused.has_value(), "a GPU is given what its library has");
  return static_cast<gpu::ActivationKind>(*fused);
}

}  // namespace remuda::models
