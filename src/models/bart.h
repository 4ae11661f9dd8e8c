// BART (Lewis et al. 2019): an encoder that reads documents, and a decoder that gives logits for their next tokens, for
// many documents at once. Ids in, logits out; what the next tokens are is for a search to say (generation/).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "io/bart_config.h"
#include "io/checkpoint.h"
#include "io/packed_file.h"
#include "models/bart_memory.h"
#include "models/bart_weights.h"
#include "models/transformer_encoder.h"
#include "nn/decoder_layer.h"
#include "nn/encoder_layer.h"
#include "nn/kv_cache.h"
#include "remuda/precision.h"
#include "tensor/workspace.h"

namespace remuda::models {

// A document that was encoded, and the state of its decoding: cross-attention keys and values, one copy for all
// sequences, and the self-attention cache. Move-only; not thread-safe; must outlive neither its model nor its arena.
class BartDocument {
 public:
  int64_t encoder_tokens() const { return encoder_tokens_; }
  // Positions decoded, and the sequences of the newest.
  int64_t length() const { return cache_.length(); }
  int64_t rows() const { return cache_.rows(); }

 private:
  friend class Bart;
  BartDocument(int64_t encoder_tokens, Workspace memory, nn::KvCache cache)
      : encoder_tokens_(encoder_tokens), memory_(std::move(memory)), cache_(std::move(cache)) {}

  int64_t encoder_tokens_;
  Workspace memory_;
  std::vector<kernels::PackedKeysValues> cross_attention_;  // One a decoder layer, in memory_.
  nn::KvCache cache_;
};

// One sequence of a step. `parent` is which row of the document's previous step it continues, -1 in the first step:
// what generation's StepRow says.
struct DecodeRow {
  BartDocument* document = nullptr;
  int32_t token = 0;
  int32_t parent = -1;
};

// Immutable after loading and thread-safe: state is in documents and in workspaces of a call. Every row's bits depend
// on its own document, tokens and limits alone, not on what else is in the call or on the number of threads.
class Bart {
 public:
  // Checks every tensor's shape against the configuration. `checkpoint` is kept: token embeddings are read where the
  // file maps them; computing throws Error(kInvalidFile) once the file has been overwritten in place. So is `packed`,
  // if there is one: matrices are read there, or, while it isn't complete, written to it. Throws Error(kInvalidFile),
  // Error(kUnsupported); PackedFileError, which says nothing against the checkpoint.
  Bart(const io::BartConfig& config, std::shared_ptr<const io::Checkpoint> checkpoint, Precision precision,
       ComputePool& pool, std::shared_ptr<io::PackedFile> packed = nullptr);

  const io::BartConfig& config() const { return config_; }
  // Memory of the weights beside the checkpoint's own pages, of which none stay.
  size_t bytes() const;
  // Of that, what is pages of the packed file, which other processes share.
  size_t mapped_bytes() const { return packed_ == nullptr ? 0 : packed_->bytes(); }

  // Memory that a document takes until it is destroyed; that encode() takes beside its documents, for so many tokens of
  // them together; that decode_step() takes, its logits included: all that has to be claimed of the arena's budget
  // before them.
  size_t document_bytes(int64_t encoder_tokens, const DecodeLimits& limits) const;
  size_t encode_bytes(int64_t tokens) const;
  size_t step_bytes(int64_t rows) const;

  // The encoder's output: hidden is [ids, d_model]. Throws Error(kInvalidArgument) for ids outside the vocabulary, and
  // for sequences that are empty or longer than max_position_embeddings; OutOfMemory.
  void encoder_states(const RaggedIds& batch, MatrixView<float> hidden, WorkspaceArena& arena, ComputePool& pool) const;

  // Encodes documents for decoding, limits[i] for document i. Throws as encoder_states(), before work starts.
  std::vector<BartDocument> encode(const RaggedIds& batch, std::span<const DecodeLimits> limits, WorkspaceArena& arena,
                                   ComputePool& pool) const;

  // One step: logits, [rows, vocab_size], row i for the token that follows row i's. Rows of one document follow each
  // other; documents may be at different positions. A document's rows are its new sequences, whatever it had before.
  // Throws Error(kInvalidArgument) with all documents as they were, and OutOfMemory, after which the step's documents
  // are fit for nothing but destruction.
  void decode_step(std::span<const DecodeRow> rows, MatrixView<float> logits, WorkspaceArena& arena,
                   ComputePool& pool) const;

 private:
  void embed(const BartEmbedding& embedding, std::span<const int32_t> ids, std::span<const int32_t> positions,
             MatrixView<float> hidden, ComputePool& pool) const;
  BartDocument make_document(int64_t encoder_tokens, const DecodeLimits& limits, WorkspaceArena& arena) const;
  void encode_some(const RaggedIds& batch, std::span<BartDocument> documents, MatrixView<float> hidden,
                   MatrixView<float> scratch, ComputePool& pool) const;
  void run_encoder(const RaggedIds& batch, MatrixView<float> hidden, MatrixView<float> scratch,
                   ComputePool& pool) const;

  io::BartConfig config_;
  std::shared_ptr<const io::Checkpoint> checkpoint_;
  std::shared_ptr<io::PackedFile> packed_;  // What the layers' matrices are views of; or nullptr.
  BartMemory memory_;
  BartEmbedding encoder_embedding_;
  BartEmbedding decoder_embedding_;
  std::vector<nn::EncoderLayer> encoder_layers_;
  std::vector<nn::DecoderLayer> decoder_layers_;
  nn::Linear output_;
};

}  // namespace remuda::models
