#include "models/bart_memory.h"

#include <algorithm>

#include "tensor/workspace.h"

namespace remuda::models {

kernels::AttentionShape BartMemory::decoder_heads() const {
  return {.num_heads = config_.decoder_attention_heads, .head_dim = config_.d_model / config_.decoder_attention_heads};
}

// Where weights are rounded, the keys and values kept for later may be too: it halves what each step reads of them.
kernels::StoredAs BartMemory::stored() const {
  return precision_ == Precision::kFp32 ? kernels::StoredAs::kFp32 : kernels::StoredAs::kBf16;
}

nn::KvCacheShape BartMemory::cache_shape(const DecodeLimits& limits) const {
  return {.layers = config_.decoder_layers,
          .width = config_.d_model,
          .max_rows = limits.max_rows,
          .max_positions = limits.max_positions,
          .stored = stored()};
}

int64_t BartMemory::cross_floats(int64_t tokens) const {
  return static_cast<int64_t>(kernels::PackedKeysValues::bytes_for(tokens, decoder_heads(), stored()) / sizeof(float));
}

size_t BartMemory::cross_attention(int64_t tokens) const {
  return static_cast<size_t>(config_.decoder_layers) * Workspace::matrix_bytes(1, cross_floats(tokens));
}

size_t BartMemory::cache(const DecodeLimits& limits) const { return nn::KvCache::bytes_for(cache_shape(limits)); }

int64_t BartMemory::encode_scratch_size() const {
  // Keys and values for the decoder's layers, one layer at a time, come after the encoder's own results are used up.
  return std::max(4 * config_.d_model, config_.encoder_ffn_dim);
}

int64_t BartMemory::step_scratch_size() const { return std::max(4 * config_.d_model, config_.decoder_ffn_dim); }

int64_t BartMemory::tokens_at_once(int64_t tokens) const {
  return std::min(tokens, std::max(kEncodeTokens, config_.max_position_embeddings));
}

size_t BartMemory::encode(int64_t tokens) const {
  const int64_t rows = tokens_at_once(tokens);
  return passed(rows, config_.d_model) + passed(rows, encode_scratch_size());
}

size_t BartMemory::step(int64_t rows) const {
  return passed(rows, config_.d_model) + passed(rows, step_scratch_size());
}

size_t BartMemory::logits(int64_t rows) const { return Workspace::matrix_bytes(rows, config_.vocab_size); }

// A GPU's products take and give their precision's elements, a CPU's fp32, beside which it prepares reduced ones.
size_t BartMemory::passed(int64_t rows, int64_t columns) const {
  const bool halves = device_ == DeviceKind::kGpu && precision_ != Precision::kFp32;
  return Workspace::matrix_bytes(rows, halves ? (columns + 1) / 2 : columns);
}

size_t BartMemory::prepared(int64_t rows, int64_t inner) const {
  if (precision_ == Precision::kFp32 || device_ == DeviceKind::kGpu) return 0;
  const int64_t element = precision_ == Precision::kBf16 ? 2 : 1;
  return Workspace::matrix_bytes(rows, std::max(config_.d_model, inner) * element / int64_t{sizeof(float)});
}

size_t BartMemory::prepared_encode(int64_t tokens) const {
  return prepared(tokens_at_once(tokens), config_.encoder_ffn_dim);
}

size_t BartMemory::prepared_step(int64_t rows) const { return prepared(rows, config_.decoder_ffn_dim); }

}  // namespace remuda::models
