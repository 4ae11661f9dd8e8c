#include "models/gpu_weights.h"

#include "base/fail.h"
#include "base/log.h"

namespace remuda::models {

remuda::cuda::NumberType gpu_number_type(Precision precision) {
  switch (precision) {
    case Precision::kFp32:
      return remuda::cuda::NumberType::kFloat32;
    case Precision::kFp16:
      return remuda::cuda::NumberType::kFloat16;
    case Precision::kBf16:
      return remuda::cuda::NumberType::kBFloat16;
    case Precision::kTf32:
      return remuda::cuda::NumberType::kTf32;
    default:
      break;
  }
  fail(ErrorCode::kUnsupported, "precision: expected fp32, bf16, fp16 or tf32 on a GPU, found {}",
       to_string(precision));
}

remuda::cuda::HostMatrix gpu_matrix(const TensorView& view) {
  const remuda::cuda::NumberType type = view.dtype == DType::kF32   ? remuda::cuda::NumberType::kFloat32
                                        : view.dtype == DType::kF16 ? remuda::cuda::NumberType::kFloat16
                                                                    : remuda::cuda::NumberType::kBFloat16;
  return {.data = view.data, .type = type, .reserved = 0};
}

remuda::cuda::HostEncoderLayer gpu_layer(const EncoderLayerTensors& layer) {
  return {.query = gpu_matrix(layer.query),
          .key = gpu_matrix(layer.key),
          .value = gpu_matrix(layer.value),
          .attention_output = gpu_matrix(layer.attention_output),
          .query_bias = layer.query_bias.data(),
          .key_bias = layer.key_bias.data(),
          .value_bias = layer.value_bias.data(),
          .attention_output_bias = layer.attention_output_bias.data(),
          .attention_gamma = layer.attention_norm.gamma.data(),
          .attention_beta = layer.attention_norm.beta.data(),
          .intermediate = gpu_matrix(layer.intermediate),
          .output = gpu_matrix(layer.output),
          .intermediate_bias = layer.intermediate_bias.data(),
          .output_bias = layer.output_bias.data(),
          .output_gamma = layer.output_norm.gamma.data(),
          .output_beta = layer.output_norm.beta.data()};
}

void give_back(GpuArena::Block& block, GpuStream& stream) {
  block.release();
  try {
    stream.synchronize();
  } catch (const std::exception& error) {
    log::debug("a GPU's memory is given back: {}", error.what());  // Of a GPU that is lost, it is lost.
  }
}

}  // namespace remuda::models
