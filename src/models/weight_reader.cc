#include "models/weight_reader.h"

#include "base/fail.h"

namespace remuda::models {

nn::Linear WeightReader::linear(const std::vector<std::string>& names, const Shape& shape, Precision precision,
                                ComputePool& pool) const {
  const int64_t out = shape[0];
  std::vector<TensorView> matrices;
  FloatTensor bias({out * static_cast<int64_t>(names.size())});
  for (size_t i = 0; i < names.size(); ++i) {
    matrices.push_back(get(names[i] + ".weight", shape));
    to_float(get(names[i] + ".bias", {out}), 0, out, bias.data() + static_cast<int64_t>(i) * out);
  }
  return {kernels::PackedWeights(matrices, precision, pool), std::move(bias)};
}

nn::LayerNorm WeightReader::layer_norm(const std::string& name, int64_t size, double epsilon) const {
  // Checkpoints converted from TensorFlow call them gamma and beta.
  const bool old_names = has(name + ".gamma");
  return {FloatTensor::from(get(name + (old_names ? ".gamma" : ".weight"), {size})),
          FloatTensor::from(get(name + (old_names ? ".beta" : ".bias"), {size})), static_cast<float>(epsilon)};
}

kernels::Activation activation_of(const std::string& name) {
  if (name == "gelu") return kernels::Activation::kGelu;
  if (name == "gelu_new") return kernels::Activation::kGeluTanh;
  if (name == "relu") return kernels::Activation::kRelu;
  fail(ErrorCode::kUnsupported, "activation: expected gelu, gelu_new or relu, found \"{}\"", name);
}

}  // namespace remuda::models
