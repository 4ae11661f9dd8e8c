// Layers from the tensors of a checkpoint.
#pragma once

#include <string>
#include <vector>

#include "base/activations.h"
#include "io/packed_file.h"
#include "io/safetensors.h"
#include "nn/layers.h"
#include "remuda/precision.h"

namespace remuda::models {

// Names are those of the checkpoint without its prefix. Each getter throws Error(kInvalidFile) naming the file, the
// tensor, and the shapes expected and found. The checkpoint must outlive it; so must `packed`, if there is one, which
// must outlive the weights too: they are views of it. One that is complete is read, another is written to; both throw
// PackedFileError.
class WeightReader {
 public:
  WeightReader(const io::Checkpoint& checkpoint, std::string prefix, io::PackedFile* packed = nullptr)
      : checkpoint_(checkpoint), prefix_(std::move(prefix)), packed_(packed) {}

  std::string full_name(const std::string& name) const { return prefix_ + name; }
  bool has(const std::string& name) const { return checkpoint_.find(full_name(name)) != nullptr; }
  const TensorView& get(const std::string& name, const Shape& shape) const {
    return checkpoint_.get(full_name(name), shape);
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
  std::string prefix_;  // What the names in this checkpoint begin with.
  io::PackedFile* packed_;
};

// The activation of a name that configurations use. Throws Error(kUnsupported).
ActivationFunction activation_of(const std::string& name);

}  // namespace remuda::models
