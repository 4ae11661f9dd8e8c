// Texts' ids to vectors, on whatever device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "models/transformer_encoder.h"

namespace remuda::models {

// Where a batch's vectors go.
struct EncoderOutput {
  MatrixView<float> sentences;    // [sequences, dimension()]
  MatrixView<float> tokens = {};  // [ids, token_dimension()], as the last module leaves them; empty: not wanted.
};

// A sentence-transformers module chain. Immutable and thread-safe: any number of threads may use it at once.
class TextEncoder {
 public:
  virtual ~TextEncoder() = default;

  virtual int64_t dimension() const = 0;
  virtual int64_t token_dimension() const = 0;
  virtual int64_t vocab_size() const = 0;
  // The longest sequence that has positions.
  virtual int64_t max_sequence_length() const = 0;
  // The device's memory that the weights take.
  virtual size_t bytes() const = 0;
  // Of that, what is pages of files, which other processes share.
  virtual size_t mapped_bytes() const = 0;

  // The first prompt_tokens[i] of sequence i are a prompt, which some models leave out of the pooling. Ids must be in
  // [0, vocab_size()), and no sequence empty or longer than max_sequence_length(). What the CPU does of it, it does
  // with `pool`. A sequence's vector is the same bytes in any batch. Throws OutOfMemory, TimeoutError, where there is
  // no memory for intermediate results; Error, kUnsupported where the device can't give the tokens' vectors.
  virtual void forward(const RaggedIds& batch, std::span<const int64_t> prompt_tokens, const EncoderOutput& out,
                       ComputePool& pool) const = 0;
};

}  // namespace remuda::models
