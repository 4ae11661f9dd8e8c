#include "models/gpu_shapes.h"

#include <algorithm>
#include <initializer_list>

#include "models/cuda_shapes.h"

namespace remuda::models {
namespace {

namespace gpu = remuda::cuda;

std::string first_of(std::initializer_list<std::string> problems) {
  const auto* const found = std::ranges::find_if(problems, [](const std::string& problem) { return !problem.empty(); });
  return found == problems.end() ? std::string() : *found;
}

}  // namespace

std::string gpu_shape_problem(const io::ModelDirectory& directory) {
  const io::EncoderConfig& config = directory.encoder;
  std::string problem =
      first_of({gpu::model_size_problem("hidden_size", config.hidden_size),
                gpu::inner_size_problem("intermediate_size", config.intermediate_size),
                gpu::heads_problem("num_attention_heads", config.num_heads, config.hidden_size, gpu::kMaxHeadSize)});
  for (const io::DenseConfig& dense : directory.pipeline.dense) {
    if (problem.empty()) problem = gpu::dense_size_problem("out_features", dense.out_features);
  }
  return problem;
}

std::string gpu_shape_problem(const io::BartConfig& config) {
  return first_of(
      {gpu::vocabulary_problem("vocab_size", config.vocab_size), gpu::model_size_problem("d_model", config.d_model),
       gpu::inner_size_problem("encoder_ffn_dim", config.encoder_ffn_dim),
       gpu::inner_size_problem("decoder_ffn_dim", config.decoder_ffn_dim),
       gpu::heads_problem("encoder_attention_heads", config.encoder_attention_heads, config.d_model, gpu::kMaxHeadSize),
       gpu::heads_problem("decoder_attention_heads", config.decoder_attention_heads, config.d_model,
                          gpu::kMaxDecoderHeadSize)});
}

}  // namespace remuda::models
