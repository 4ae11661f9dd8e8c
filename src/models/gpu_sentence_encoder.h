// A sentence-transformers module chain on a GPU.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "device/gpu_stream.h"
#include "io/model_directory.h"
#include "models/cuda_models.h"
#include "models/gpu_weights.h"
#include "models/text_encoder.h"
#include "remuda/precision.h"

namespace remuda::models {

// One copy of the weights for all who compute. Each call of forward() has a stream of its own meanwhile, one that lies
// idle where there is one, and a workspace of the GPU's arena.
class GpuSentenceEncoder : public TextEncoder {
 public:
  // In memory of the GPU, by its id, that the caller has reserved in its budget: for the weights, and while this works,
  // for loading them, which goes back to the driver. `precision`: kFp32, kBf16, kFp16 or kTf32. Throws
  // Error(kNotFound), Error(kInvalidFile); Error(kUnsupported), also where the library has no such models; OutOfMemory;
  // and as GpuStream does.
  GpuSentenceEncoder(const io::ModelDirectory& directory, const std::string& device, Precision precision);

  int64_t dimension() const override { return models_.dimension(model_.get()); }
  int64_t token_dimension() const override { return config_.hidden_size; }
  int64_t vocab_size() const override { return config_.vocab_size; }
  int64_t max_sequence_length() const override { return config_.max_sequence_length(); }
  size_t bytes() const override { return model_.bytes(); }
  size_t mapped_bytes() const override { return 0; }

  // `out.sentences` must be dense, `out.tokens` empty. Has no use for `pool`. Where the GPU has no memory for all at
  // once, it is done in parts; throws OutOfMemory where it has none for a text alone.
  void forward(const RaggedIds& batch, std::span<const int64_t> prompt_tokens, const EncoderOutput& out,
               ComputePool& pool) const override;

 private:
  std::unique_ptr<GpuStream> take_stream() const;
  void encode(const RaggedIds& batch, std::span<const int64_t> prompt_tokens, MatrixView<float> out,
              GpuStream& stream) const;
  GpuArena::Block allocate(uint64_t bytes, const RaggedIds& batch, GpuStream& stream) const;

  const remuda::cuda::Models& models_;
  const io::EncoderConfig config_;
  const bool pools_prompt_;
  ModelOnGpu<remuda::cuda::Encoder> model_;

  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<GpuStream>> idle_;  // Guarded by mutex_.
};

}  // namespace remuda::models
