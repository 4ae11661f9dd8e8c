// A BART on a GPU: its weights, documents, and the steps that decode them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "device/gpu_arena.h"
#include "device/gpu_stream.h"
#include "generation/ranking.h"
#include "generation/search.h"
#include "io/bart_config.h"
#include "io/checkpoint.h"
#include "models/bart_memory.h"
#include "models/cuda_bart.h"
#include "models/gpu_weights.h"
#include "models/transformer_encoder.h"
#include "nn/kv_cache.h"
#include "remuda/precision.h"
#include "tensor/tensor.h"

namespace remuda::models {

// One copy of the weights for all who decode. Immutable and thread-safe; outlives its decoders.
class GpuBart {
 public:
  class Document;
  class Decoder;

  // In memory of the GPU, by its id, that the caller has reserved in its budget: for the weights, and while this works,
  // for loading them, which goes back to the driver. `precision`: kFp32, kBf16, kFp16 or kTf32. Of the checkpoint
  // nothing is kept. Throws Error(kInvalidFile); Error(kUnsupported), also where the library has no BART; OutOfMemory;
  // and as GpuStream does.
  GpuBart(const io::BartConfig& config, const io::Checkpoint& checkpoint, const std::string& device,
          Precision precision);

  const io::BartConfig& config() const { return config_; }
  // Memory of the GPU that the weights take.
  size_t bytes() const { return model_.bytes(); }

  // Memory of the GPU: that a document takes until it is destroyed; that encode() takes beside its documents, for so
  // many tokens of them together; that a decoder has for steps of so many rows, logits included.
  size_t document_bytes(int64_t encoder_tokens, const DecodeLimits& limits) const;
  size_t encode_bytes(int64_t tokens) const;
  size_t step_bytes(int64_t rows) const;

 private:
  remuda::cuda::HostStepRoom room_for(int64_t rows) const;
  uint64_t room_bytes(const remuda::cuda::HostStepRoom& room) const;

  const remuda::cuda::BartModels& models_;
  const io::BartConfig config_;
  const BartMemory memory_;
  ModelOnGpu<remuda::cuda::Bart> model_;
};

// A document that was encoded, and the state of its decoding: on the GPU keys and values, here the tables of its
// sequences. Must not outlive its decoder, whose it is.
class GpuBart::Document {
 public:
  ~Document();
  Document(const Document&) = delete;
  Document& operator=(const Document&) = delete;

 private:
  friend class Decoder;
  Document(int64_t encoder_tokens, const DecodeLimits& limits, GpuStream& stream, GpuArena::Block memory);

  GpuStream& stream_;  // Its decoder's.
  int64_t encoder_tokens_;
  DecodeLimits limits_;
  GpuArena::Block memory_;
  std::vector<int32_t> numbers_;
  nn::KvTables tables_;  // In numbers_.
};

// What decodes on a stream of its own. Belongs to one thread at a time. A row's results are the same bits whatever else
// is in the step, and on any decoder.
class GpuBart::Decoder {
 public:
  // Throws as GpuStream does.
  explicit Decoder(const GpuBart& bart);
  ~Decoder();
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  // As Bart::encode(). Throws what that throws, and as GpuStream does.
  std::vector<std::unique_ptr<Document>> encode(const RaggedIds& batch, std::span<const DecodeLimits> limits);

  // The next sequences of a document, each naming which of the step before it continues, as generation's rows do.
  struct Rows {
    Document* document = nullptr;
    std::span<const StepRow> rows;
  };
  // [rows, k], as generation/ranking.h has it; valid until the next step.
  struct Ranked {
    std::span<const float> scores;
    std::span<const int32_t> tokens;
  };

  // One step: the logits of the token that follows each row's, and of each row its k best tokens; k may be 0. Documents
  // may be at different positions; each is there once. rankings: [rows]. Throws Error(kInvalidArgument) with all
  // documents as they were; else, as GpuStream does and OutOfMemory, after which the step's documents are fit for
  // nothing but destruction.
  Ranked step(std::span<const Rows> documents, std::span<const RowRanking> rankings, int64_t k);

  // Logits of these rows of the step before, [rows.size(), vocab_size]; valid until it is called again.
  MatrixView<const float> fetch_logits(std::span<const int32_t> rows);

  // Steps that were replayed as CUDA graphs.
  uint64_t replayed_steps() const;

 private:
  void make_room(int64_t rows, int64_t k, int64_t rule_tokens);
  void encode_some(const RaggedIds& batch, std::span<const std::unique_ptr<Document>> documents,
                   const GpuArena::Block& workspace);

  const GpuBart& bart_;
  GpuStream stream_;  // Outlives what is allocated on it.
  std::unique_ptr<remuda::cuda::BartDecoder, void (*)(remuda::cuda::BartDecoder*)> decoder_;
  GpuArena::Block workspace_;
  remuda::cuda::HostStepRoom room_ = {};

  // Of the step in hand.
  std::vector<int32_t> tokens_;
  std::vector<int32_t> parents_;
  std::vector<remuda::cuda::HostStepDocument> host_documents_;
  std::vector<remuda::cuda::HostRowRules> host_rules_;
  std::vector<float> scores_;
  std::vector<int32_t> best_;
  std::vector<float> logits_;
};

}  // namespace remuda::models
