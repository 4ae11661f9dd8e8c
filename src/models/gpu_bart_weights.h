// A BART's weights as the GPU's library takes them.
#pragma once

#include <vector>

#include "io/bart_config.h"
#include "io/checkpoint.h"
#include "models/bart_weights.h"
#include "models/cuda_bart.h"

namespace remuda::models {

// Reads a checkpoint for remuda::cuda::BartModels::load_bart(). Matrices are read where the file is mapped, so the
// object, and the checkpoint, must live while the library reads them, and no longer.
class GpuBartWeights {
 public:
  // `precision`: kFp32, kBf16, kFp16 or kTf32. Throws Error(kInvalidFile), Error(kUnsupported).
  GpuBartWeights(const io::BartConfig& config, const io::Checkpoint& checkpoint, Precision precision);
  GpuBartWeights(const GpuBartWeights&) = delete;
  GpuBartWeights& operator=(const GpuBartWeights&) = delete;

  // Points into this object.
  const remuda::cuda::HostBart& host() const { return host_; }

 private:
  void add_layers(const BartWeights& weights, const io::BartConfig& config);

  BartEmbedding encoder_embedding_, decoder_embedding_;
  std::vector<BartLayerTensors> encoder_layers_, decoder_layers_;
  FloatTensor output_bias_;

  std::vector<remuda::cuda::HostEncoderLayer> host_encoder_layers_;
  std::vector<remuda::cuda::HostBartDecoderLayer> host_decoder_layers_;
  remuda::cuda::HostBart host_ = {};
};

}  // namespace remuda::models
