// A sentence-transformers module chain on the CPU: the transformer, and the modules behind it in their order.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "models/chain_modules.h"
#include "models/text_encoder.h"

namespace remuda::models {

// Immutable after loading and thread-safe: intermediate results live in a workspace of the call.
class SentenceEncoder : public TextEncoder {
 public:
  // `packed` is as for TransformerEncoder; the modules' weights are too small to be kept there. Throws
  // Error(kNotFound), Error(kInvalidFile), Error(kUnsupported); PackedFileError.
  SentenceEncoder(const io::ModelDirectory& directory, Precision precision, ComputePool& pool,
                  std::shared_ptr<io::PackedFile> packed = nullptr);

  // What layer_pooling_ points to moves with it.
  SentenceEncoder(SentenceEncoder&&) noexcept = default;

  int64_t dimension() const override { return dimension_; }
  int64_t token_dimension() const override { return token_dimension_; }
  int64_t max_sequence_length() const override { return transformer_.max_sequence_length(); }
  int64_t vocab_size() const override { return transformer_.vocab_size(); }
  // As TransformerEncoder has them.
  size_t bytes() const override;
  size_t mapped_bytes() const override { return transformer_.mapped_bytes(); }
  // Computes in parts, one after the other, where memory is short, down to a sequence at a time; waits only for what a
  // single one takes. Throws OutOfMemory, TimeoutError.
  void forward(const RaggedIds& batch, std::span<const int64_t> prompt_tokens, const EncoderOutput& out,
               ComputePool& pool) const override;

 private:
  size_t workspace_bytes(const RaggedIds& batch) const;
  void compute(const RaggedIds& batch, std::span<const int64_t> prompt_tokens, const EncoderOutput& out,
               ComputePool& pool) const;

  TransformerEncoder transformer_;
  std::vector<ChainModule> modules_;
  const LayerPoolingModule* layer_pooling_ = nullptr;  // One of modules_, or nullptr.
  const int64_t dimension_;                            // What of the last module's vectors is given.
  int64_t token_dimension_ = 0;
};

}  // namespace remuda::models
