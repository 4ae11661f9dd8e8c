#include "models/weight_reader.h"

#include "base/fail.h"

namespace remuda::models {

WeightReader::WeightReader(const io::Checkpoint& checkpoint, std::string prefix, io::PackedFile* packed)
    : checkpoint_(checkpoint), prefix_(std::move(prefix)), packed_(packed) {
  const auto first = checkpoint.tensors().lower_bound(prefix_);
  is_prefixed_ = first != checkpoint.tensors().end() && first->first.starts_with(prefix_);
}

std::string WeightReader::full_name(const std::string& name) const {
  const std::string prefixed = prefix_ + name;
  if (!is_prefixed_ || (!checkpoint_.has(prefixed) && checkpoint_.has(name))) return name;
  return prefixed;
}

nn::Linear WeightReader::linear(const std::vector<std::string>& names, const Shape& shape, Precision precision,
                                ComputePool& pool) const {
  std::vector<std::string> matrices;
  for (const std::string& name : names) matrices.push_back(name + ".weight");
  nn::Linear layer{weights(matrices, shape, precision, pool), {}};
  const int64_t out = shape[0];
  layer.bias = FloatTensor({out * std::ssize(names)});
  for (size_t i = 0; i < names.size(); ++i) {
    to_float(get(names[i] + ".bias", {out}), 0, out, layer.bias.data() + static_cast<int64_t>(i) * out);
  }
  return layer;
}

kernels::PackedWeights WeightReader::weights(const std::vector<std::string>& names, const Shape& shape,
                                             Precision precision, ComputePool& pool) const {
  const bool is_packed = packed_ != nullptr && packed_->is_complete();
  std::vector<TensorView> matrices;
  std::string packed_name;
  for (const std::string& name : names) {
    matrices.push_back(is_packed ? checkpoint_.describe(full_name(name), shape) : get(name, shape));
    packed_name.append(packed_name.empty() ? "" : "+").append(full_name(name));
  }
  if (is_packed) {
    const size_t bytes = kernels::PackedWeights::packed_bytes(matrices, precision);
    return {matrices, precision, packed_->get(packed_name, bytes)};
  }
  // A part at a time, so that what was read of the checkpoint, and what is packed and written already, doesn't count as
  // this process's memory beside the rest.
  kernels::WeightPacking packing(matrices, precision, pool);
  AlignedBuffer packed(packed_ == nullptr ? packing.bytes() : packing.part_bytes());
  if (packed_ != nullptr) packed_->begin(packed_name, packing.bytes());
  while (const size_t bytes = packing.next_bytes()) {
    std::byte* part = packed.data() + (packed_ == nullptr ? packing.offset() : 0);
    for (const TensorView& read : packing.pack_next(part)) checkpoint_.drop_pages(read);
    if (packed_ != nullptr) packed_->append({part, bytes});
  }
  if (packed_ == nullptr) return {matrices, precision, std::move(packed)};
  return {matrices, precision, packed_->end()};
}

nn::LayerNorm WeightReader::layer_norm(const std::string& name, int64_t size, double epsilon) const {
  // Checkpoints converted from TensorFlow call them gamma and beta.
  const bool old_names = has(name + ".gamma");
  return {FloatTensor::from(get(name + (old_names ? ".gamma" : ".weight"), {size})),
          FloatTensor::from(get(name + (old_names ? ".beta" : ".bias"), {size})), static_cast<float>(epsilon)};
}

ActivationFunction activation_of(const std::string& name) {
  if (const auto function = activation_by_name(name)) return *function;
  fail(ErrorCode::kUnsupported, "activation: expected one of {}, found \"{}\"", known_activation_names(), name);
}

}  // namespace remuda::models
