// A transformer encoder of the BERT family: token ids to one vector a token.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "io/checkpoint.h"
#include "io/model_directory.h"
#include "io/packed_file.h"
#include "nn/encoder_layer.h"
#include "nn/layers.h"
#include "remuda/precision.h"

namespace remuda::models {

// Token ids of several sequences, laid end to end; sequence i is [offsets[i], offsets[i + 1]).
struct RaggedIds {
  std::span<const int32_t> ids;
  std::span<const int64_t> offsets;  // [sequences + 1], from 0, rising strictly.

  int64_t sequences() const { return static_cast<int64_t>(offsets.size()) - 1; }
};

// Calls encode(part, number of its first sequence) for sequences that follow each other and have up to so many tokens
// together, or are alone.
void encode_in_parts(const RaggedIds& batch, int64_t max_tokens,
                     const std::function<void(const RaggedIds& part, size_t first)>& encode);

// The position of each id: counted from config.first_position on, and where that is not 0, a padding token written out
// in a text is not counted, as transformers has it for models of that kind.
std::vector<int32_t> position_ids(const io::EncoderConfig& config, const RaggedIds& batch);

// BERT, DistilBERT, MPNet and RoBERTa with its kin (XLM-R, CamemBERT) are this one structure; they differ in the
// names of their weights, in whether there are token types, in the first position, and in MPNet's relative position
// bias. Immutable after loading and thread-safe.
class TransformerEncoder {
 public:
  // Checks every tensor's shape against the configuration before using it. `checkpoint` is kept: the word
  // embeddings are read where the file maps them. So is `packed`, if there is one: matrices are read there, or, while
  // it isn't complete, written to it. Throws Error(kInvalidFile), Error(kUnsupported); PackedFileError.
  TransformerEncoder(const io::EncoderConfig& config, std::shared_ptr<const io::Checkpoint> checkpoint,
                     Precision precision, ComputePool& pool, std::shared_ptr<io::PackedFile> packed = nullptr);

  int64_t hidden_size() const { return config_.hidden_size; }
  // The longest sequence that has positions.
  int64_t max_sequence_length() const { return config_.max_sequence_length(); }
  int64_t vocab_size() const { return config_.vocab_size; }
  // Memory of the weights, the rows of the checkpoint that are read where it is mapped included.
  size_t bytes() const;
  // Of that, what is pages of files, which other processes share.
  size_t mapped_bytes() const;
  // Floats of scratch that forward() needs for a row.
  int64_t scratch_size() const;
  // The workspace that forward() takes beside, for so many rows: of one product at a time.
  size_t prepared_bytes(int64_t rows) const;

  // hidden: [ids, hidden_size] and scratch: [ids, scratch_size()]. Ids must be in [0, vocab_size), and no
  // sequence longer than max_sequence_length(). Throws Error(kInvalidFile) where the checkpoint's file has been
  // overwritten in place. `after_layer`, if there is one, is called once `hidden` is the embeddings (0), and once it is
  // each layer's output (1, 2, ...).
  void forward(const RaggedIds& batch, MatrixView<float> hidden, MatrixView<float> scratch, ComputePool& pool,
               const std::function<void(int64_t layer)>& after_layer = nullptr) const;

 private:
  void embed(const RaggedIds& batch, MatrixView<float> hidden, ComputePool& pool) const;

  io::EncoderConfig config_;
  std::shared_ptr<const io::Checkpoint> checkpoint_;
  std::shared_ptr<io::PackedFile> packed_;  // What the layers' matrices are views of; or nullptr.
  TensorView word_embeddings_;              // [vocab_size, hidden_size], in the mapped file.
  FloatTensor position_embeddings_;         // [max_positions, hidden_size], token type 0 added where there are types.
  nn::LayerNorm embedding_norm_;
  FloatTensor relative_bias_;  // [num_heads, 2 * max_positions - 1], MPNet only.
  std::vector<nn::EncoderLayer> layers_;
};

}  // namespace remuda::models
