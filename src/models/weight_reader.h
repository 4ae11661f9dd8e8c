// Layers from the tensors of a checkpoint.
#pragma once

#include <string>
#include <vector>

#include "base/activations.h"
#include "io/checkpoint.h"
#include "io/packed_file.h"
#include "nn/layers.h"
#include "remuda/precision.h"

namespace remuda::models {

// Names are the model's own. In the checkpoint they may have a prefix, each for itself, as transformers' loading has
// it: that of a model which holds this one, or which this one was taken out of. Each getter throws Error(kInvalidFile)
// naming the file, the tensor, and the shapes expected and found. The checkpoint must outlive it; so must `packed`, if
// there is one, which must outlive the weights too: they are views of it. One that is complete is read, another is
// written to; both throw PackedFileError.
class WeightReader {
 public:
  WeightReader(const io::Checkpoint& checkpoint, std::string prefix, io::PackedFile* packed = nullptr);

  // As the checkpoint has it, with the prefix or without; for one that it doesn't have, as it would name it.
  std::string full_name(const std::string& name) const;
  bool has(const std::string& name) const { return checkpoint_.has(full_name(name)); }
  TensorView get(const std::string& name, const Shape& shape) const { return checkpoint_.get(full_name(name), shape); }
  // For as long as the checkpoint lives, and of a type that kernels gather rows of.
  TensorView get_table(const std::string& name, const Shape& shape) const {
    return checkpoint_.get_table(full_name(name), shape);
  }
  // The layers of these names, [out, in] each, one below the other: one product that computes them all.
  nn::Linear linear(const std::vector<std::string>& names, const Shape& shape, Precision precision,
                    ComputePool& pool) const;
  // The matrices of these names, [out, in] each, one below the other.
  kernels::PackedWeights weights(const std::vector<std::string>& names, const Shape& shape, Precision precision,
                                 ComputePool& pool) const;
  nn::LayerNorm layer_norm(const std::string& name, int64_t size, double epsilon) const;

 private:
  const io::Checkpoint& checkpoint_;
  std::string prefix_;        // What names in this checkpoint may begin with.
  bool is_prefixed_ = false;  // Some do.
  io::PackedFile* packed_;
};

// The activation of a name that configurations use. Throws Error(kUnsupported).
ActivationFunction activation_of(const std::string& name);

}  // namespace remuda::models
