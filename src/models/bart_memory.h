// What computing with a BART takes, known from its configuration: what Bart takes while it computes, and what is said
// about a model before it is loaded.
#pragma once

#include <cstddef>
#include <cstdint>

#include "io/bart_config.h"
#include "kernels/decode_attention.h"
#include "nn/kv_cache.h"
#include "remuda/precision.h"

namespace remuda::models {

// How far a document will be decoded.
struct DecodeLimits {
  int64_t max_rows = 1;       // Sequences at once (beams).
  int64_t max_positions = 1;  // Tokens of a sequence, the start token included.
};

// Bytes, each of them one workspace; on a GPU as models/cuda/bart_step.h lays things out, where cross_attention() and
// cache() are parts of one block, as are step() and logits(). Of the configuration vocab_size, d_model and what has
// layers, heads and inner sizes count.
class BartMemory {
 public:
  // Never kAuto.
  BartMemory(const io::BartConfig& config, Precision precision, DeviceKind device = DeviceKind::kCpu)
      : config_(config), precision_(precision), device_(device) {}

  // Of a document: cross-attention keys and values of its tokens in all layers, and its cache.
  size_t cross_attention(int64_t tokens) const;
  size_t cache(const DecodeLimits& limits) const;
  // What encoding takes beside its documents, and a step of so many rows beside its logits.
  size_t encode(int64_t tokens) const;
  size_t step(int64_t rows) const;
  size_t logits(int64_t rows) const;
  // The most that a product takes for its inputs, prepared for a reduced precision: of so many rows in the encoder, or
  // in a step.
  size_t prepared_encode(int64_t tokens) const;
  size_t prepared_step(int64_t rows) const;

  // The same on a CPU as blocks of WorkspaceArena: of a document until it is destroyed; while documents with so many
  // tokens are encoded, or a step of so many rows is computed, beside them.
  size_t document_blocks(int64_t tokens, const DecodeLimits& limits) const;
  size_t encode_blocks(int64_t tokens) const;
  size_t step_blocks(int64_t rows) const;

  // What a GPU's decoder makes room for, where a step has so many rows: the next power of two, so that it need not grow
  // with every document that joins, tokens that are ranked of a row, and some that its rules name. A step that wants
  // more takes more.
  struct StepRoom {
    int64_t rows = 0;
    int64_t ranked = 0;
    int64_t rule_tokens = 0;
  };
  StepRoom step_room(int64_t rows) const;

  // Documents are encoded together up to so many tokens; tokens_at_once() are those of so many, since one document may
  // have more.
  int64_t encode_tokens() const { return on_gpu() ? kGpuEncodeTokens : kEncodeTokens; }
  int64_t tokens_at_once(int64_t tokens) const;
  // Columns of scratch that encoding has for each row.
  int64_t encode_scratch_size() const;
  int64_t step_scratch_size() const;
  // One layer's cross-attention keys and values, in floats.
  int64_t cross_floats(int64_t tokens) const;
  kernels::AttentionShape decoder_heads() const;
  kernels::StoredAs stored() const;
  nn::KvCacheShape cache_shape(const DecodeLimits& limits) const;

  // Enough to use what is read of the weights many times, and few enough for the caches to hold what passes from layer
  // to layer; on a GPU, enough to have work for all of it.
  static constexpr int64_t kEncodeTokens = 1024;
  static constexpr int64_t kGpuEncodeTokens = 4096;

 private:
  bool on_gpu() const { return device_ == DeviceKind::kGpu; }
  int64_t gpu_element() const { return precision_ == Precision::kFp16 || precision_ == Precision::kBf16 ? 2 : 4; }
  size_t gpu_rows(int64_t rows, int64_t inner) const;
  size_t prepared(int64_t rows, int64_t inner) const;

  io::BartConfig config_;
  Precision precision_;
  DeviceKind device_;
};

}  // namespace remuda::models
