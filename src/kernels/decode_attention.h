// Attention of a decoder's step: the newest position of each sequence against keys and values computed before. Two
// forms: those of a document, packed once and shared by all its sequences, and those of a cache that grows by one
// position a step, whose entries a table names.
//
// The formula is attention's (attention.h). A query's result depends on itself and its own keys and values alone, bit
// for bit: not on the other queries, how many there are, or the number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "device/compute_pool.h"
#include "kernels/attention.h"
#include "kernels/cpu/rowwise.h"
#include "kernels/isa.h"
#include "tensor/tensor.h"

namespace remuda::kernels {

// Bytes that an element takes.
constexpr size_t size_of(StoredAs stored) { return stored == StoredAs::kFp32 ? 4 : 2; }

// Keys and values of one sequence in the layout of one instruction set; the memory is the caller's.
struct PackedKeysValues {
  const std::byte* data = nullptr;
  int64_t length = 0;
  AttentionShape shape;
  StoredAs stored = StoredAs::kFp32;
  Isa isa = Isa::kGeneric;

  static size_t bytes_for(int64_t length, AttentionShape shape, StoredAs stored);
};

// Packs k and v, [length, num_heads * head_dim] each, into `memory`: bytes_for(...), 64-byte aligned.
PackedKeysValues pack_keys_values(MatrixView<const float> k, MatrixView<const float> v, AttentionShape shape,
                                  StoredAs stored, std::byte* memory, ComputePool& pool, Isa isa = active_isa());

// The rows [first_row, first_row + rows) of the queries attend to `keys_values`.
struct PackedQueries {
  int64_t first_row = 0;
  int64_t rows = 0;
  const PackedKeysValues* keys_values = nullptr;
};

// q, out: [rows, num_heads * head_dim], not overlapping; every row belongs to one of `blocks`, whose keys and values
// are all of one shape and instruction set. All rows of a block are computed together: its keys and values are read
// from memory once.
void attend_packed(MatrixView<const float> q, std::span<const PackedQueries> blocks, float scale, MatrixView<float> out,
                   ComputePool& pool);

// What one query attends to: entry s is row table[s] of keys and values, whose rows have num_heads * head_dim elements.
struct CachedSequence {
  const std::byte* keys = nullptr;
  const std::byte* values = nullptr;
  const int32_t* table = nullptr;
  int64_t length = 0;  // At least 1.
};

// q, out: [sequences, num_heads * head_dim], not overlapping; sequence i is for row i.
void attend_cached(MatrixView<const float> q, std::span<const CachedSequence> sequences, AttentionShape shape,
                   StoredAs stored, float scale, MatrixView<float> out, ComputePool& pool, Isa isa = active_isa());

// Writes n floats as `stored` has them, on the calling thread.
void store_as(StoredAs stored, const float* x, int64_t n, std::byte* out, Isa isa = active_isa());

}  // namespace remuda::kernels
