#include "models/bart_memory.h"

#include <algorithm>
#include <bit>

#include "kernels/linear.h"
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
  if (on_gpu()) return static_cast<size_t>(2 * config_.decoder_layers * tokens * config_.d_model * gpu_element());
  return static_cast<size_t>(config_.decoder_layers) * Workspace::matrix_bytes(1, cross_floats(tokens));
}

size_t BartMemory::cache(const DecodeLimits& limits) const {
  if (on_gpu()) {
    const int64_t log_rows = limits.max_rows * limits.max_positions;
    return static_cast<size_t>(2 * config_.decoder_layers * log_rows * config_.d_model * gpu_element());
  }
  return nn::KvCache::bytes_for(cache_shape(limits));
}

int64_t BartMemory::encode_scratch_size() const {
  // Keys and values for the decoder's layers, one layer at a time, come after the encoder's own results are used up.
  return std::max(4 * config_.d_model, config_.encoder_ffn_dim);
}

int64_t BartMemory::step_scratch_size() const { return std::max(4 * config_.d_model, config_.decoder_ffn_dim); }

BartMemory::StepRoom BartMemory::step_room(int64_t rows) const {
  constexpr int64_t kRanked = 16;  // A search of seven beams asks for 15.
  const auto room = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(rows)));
  return {.rows = room, .ranked = kRanked, .rule_tokens = room * config_.max_position_embeddings};
}

int64_t BartMemory::tokens_at_once(int64_t tokens) const {
  return std::min(tokens, std::max(encode_tokens(), config_.max_position_embeddings));
}

// The hidden state, what is added to it, and scratch.
size_t BartMemory::gpu_rows(int64_t rows, int64_t inner) const {
  return static_cast<size_t>(rows * (2 * config_.d_model + std::max(4 * config_.d_model, inner)) * gpu_element());
}

size_t BartMemory::encode(int64_t tokens) const {
  const int64_t rows = tokens_at_once(tokens);
  if (on_gpu()) {
    constexpr size_t kIdPositionAndTile = 28;
    return gpu_rows(rows, config_.encoder_ffn_dim) + static_cast<size_t>(rows) * kIdPositionAndTile;
  }
  return Workspace::matrix_bytes(rows, config_.d_model) + Workspace::matrix_bytes(rows, encode_scratch_size());
}

size_t BartMemory::step(int64_t rows) const {
  if (on_gpu()) {
    const StepRoom room = step_room(rows);
    constexpr int64_t kTokenTileAndRules = 84;
    const int64_t inputs =
        room.rows * (kTokenTileAndRules + 4 * config_.max_position_embeddings) + 4 * room.rule_tokens;
    return gpu_rows(room.rows, config_.decoder_ffn_dim) + static_cast<size_t>(inputs + 8 * room.rows * room.ranked);
  }
  return Workspace::matrix_bytes(rows, config_.d_model) + Workspace::matrix_bytes(rows, step_scratch_size());
}

size_t BartMemory::logits(int64_t rows) const {
  return Workspace::matrix_bytes(on_gpu() ? step_room(rows).rows : rows, config_.vocab_size);
}

size_t BartMemory::prepared(int64_t rows, int64_t inner) const {
  if (on_gpu()) return 0;
  return kernels::prepared_bytes(precision_, rows, std::max(config_.d_model, inner));
}

size_t BartMemory::document_blocks(int64_t tokens, const DecodeLimits& limits) const {
  return WorkspaceArena::block_bytes(cross_attention(tokens)) + WorkspaceArena::block_bytes(cache(limits));
}

size_t BartMemory::encode_blocks(int64_t tokens) const {
  if (tokens == 0) return 0;
  return WorkspaceArena::block_bytes(encode(tokens)) + WorkspaceArena::block_bytes(prepared_encode(tokens));
}

size_t BartMemory::step_blocks(int64_t rows) const {
  return WorkspaceArena::block_bytes(step(rows)) + WorkspaceArena::block_bytes(logits(rows)) +
         WorkspaceArena::block_bytes(prepared_step(rows));
}

size_t BartMemory::prepared_encode(int64_t tokens) const {
  return prepared(tokens_at_once(tokens), config_.encoder_ffn_dim);
}

size_t BartMemory::prepared_step(int64_t rows) const { return prepared(rows, config_.decoder_ffn_dim); }

}  // namespace remuda::models
