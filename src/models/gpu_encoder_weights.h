// An encoder's weights as the GPU's library takes them.
#pragma once

#include <vector>

#include "io/checkpoint.h"
#include "io/model_directory.h"
#include "models/cuda_models.h"
#include "models/encoder_weights.h"

namespace remuda::models {

// The modules behind the transformer, which a GPU has kernels for. Throws Error(kUnsupported) where they are others.
io::PlainChain gpu_chain(const io::ModelDirectory& directory);

// Reads the chain of a model directory for remuda::cuda::Models::load_encoder(). Matrices are read where their files
// are mapped, so the object must live while the library reads them, and no longer.
class GpuEncoderWeights {
 public:
  // `precision`: kFp32, kBf16, kFp16 or kTf32. Throws Error(kNotFound), Error(kInvalidFile), Error(kUnsupported).
  GpuEncoderWeights(const io::ModelDirectory& directory, Precision precision);
  GpuEncoderWeights(const GpuEncoderWeights&) = delete;
  GpuEncoderWeights& operator=(const GpuEncoderWeights&) = delete;

  // Points into this object.
  const remuda::cuda::HostEncoder& host() const { return host_; }

 private:
  void add_layers(const EncoderWeights& weights);
  void add_dense(const std::vector<io::DenseConfig>& configs);

  io::EncoderConfig config_;
  io::Checkpoint checkpoint_;
  FloatTensor positions_;
  nn::LayerNorm embedding_norm_;
  FloatTensor relative_bias_;
  std::vector<EncoderLayerTensors> layers_;
  std::vector<io::Checkpoint> dense_checkpoints_;
  std::vector<FloatTensor> dense_biases_;

  std::vector<remuda::cuda::HostEncoderLayer> host_layers_;
  std::vector<remuda::cuda::PoolingKind> host_poolings_;
  std::vector<remuda::cuda::HostDense> host_dense_;
  remuda::cuda::HostEncoder host_ = {};
};

}  // namespace remuda::models
