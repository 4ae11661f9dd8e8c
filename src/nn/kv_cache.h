// The self-attention keys and values of one document's sequences (its beams), in every decoder layer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/decode_attention.h"
#include "tensor/workspace.h"

namespace remuda::nn {

struct KvCacheShape {
  int64_t layers = 0;
  int64_t width = 0;          // num_heads * head_dim
  int64_t max_rows = 0;       // Sequences at once.
  int64_t max_positions = 0;  // Tokens of the longest.
  kernels::StoredAs stored = kernels::StoredAs::kFp32;
};

// Which rows of a log are a document's sequences: each position appends the keys and values of its sequences to the
// log, where they never move again. A sequence is a table that names, for every position, the row of the log that is
// its own; sequences that have a past in common name the same rows. So reordering, forking and dropping sequences, as
// beam search does at each step, copies tables (four bytes a position) and no keys. Not thread-safe.
class KvTables {
 public:
  // `tables`, `next_tables`: [max_rows * max_positions] each, which must outlive it.
  KvTables(int64_t max_rows, int64_t max_positions, int32_t* tables, int32_t* next_tables)
      : max_rows_(max_rows), max_positions_(max_positions), tables_(tables), next_tables_(next_tables) {}

  // Positions begun.
  int64_t length() const { return length_; }
  // Sequences of the newest position.
  int64_t rows() const { return rows_; }

  // Throws Error(kInvalidArgument) where advance(parents) must not be called.
  void check_advance(std::span<const int32_t> parents) const;

  // Begins the next position: sequence i continues sequence parents[i] of the position before, and appends row
  // newest_log_row() + i. For the first position every parent is -1. 1 to max_rows parents, and room for another
  // position.
  void advance(std::span<const int32_t> parents);

  // Of sequence `row`: length() rows of the log, the newest one included. Valid until advance().
  const int32_t* table(int64_t row) const { return tables_ + row * max_positions_; }
  // From one sequence's table to the next one's.
  int64_t stride() const { return max_positions_; }
  int64_t newest_log_row() const { return (length_ - 1) * max_rows_; }

 private:
  int64_t max_rows_;
  int64_t max_positions_;
  int32_t* tables_;       // [max_rows][max_positions]: of the newest position.
  int32_t* next_tables_;  // Where advance() puts the next ones together.
  int64_t length_ = 0;
  int64_t rows_ = 0;
};

// Tables, and their log.
//
// Not thread-safe; its layers may be appended to and read in any order between two calls of advance().
class KvCache {
 public:
  // Memory that a cache of this shape takes, all of it when it is made.
  static size_t bytes_for(const KvCacheShape& shape);

  // Throws OutOfMemory.
  KvCache(const KvCacheShape& shape, WorkspaceArena& arena);

  const KvCacheShape& shape() const { return shape_; }
  // As KvTables has them.
  int64_t length() const { return tables_.length(); }
  int64_t rows() const { return tables_.rows(); }
  void check_advance(std::span<const int32_t> parents) const { tables_.check_advance(parents); }
  void advance(std::span<const int32_t> parents) { tables_.advance(parents); }

  // The keys and values of the newest position: [rows(), width] each, as floats.
  void append(int64_t layer, MatrixView<const float> keys, MatrixView<const float> values);

  // What sequence `row` attends to: all its positions, the newest one included. Valid until advance().
  kernels::CachedSequence sequence(int64_t layer, int64_t row) const;

 private:
  std::byte* log(int64_t layer, bool values) const;

  KvCacheShape shape_;
  Workspace memory_;
  std::byte* log_;  // [layers][keys, values][max_positions * max_rows][width]
  KvTables tables_;
};

}  // namespace remuda::nn
