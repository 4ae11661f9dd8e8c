// Which thread of a GPU does what: index arithmetic and launch shapes. Nothing here needs a GPU.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <tuple>
#include <vector>

#include "kernels/cuda/host_device.h"

namespace remuda::kernels::cuda {

inline constexpr int kWarpSize = 32;

// Bytes that one cp.async, one row of ldmatrix, and one load of a vector move.
inline constexpr int kChunkBytes = 16;

REMUDA_HOST_DEVICE constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// a % b, of what is nearly always short: a division of 64 bits is a hundred instructions on a GPU.
REMUDA_HOST_DEVICE constexpr int remainder_of(int64_t a, int b) {
  if (a <= 0xffffffff) return static_cast<int>(static_cast<uint32_t>(a) % static_cast<uint32_t>(b));
  return static_cast<int>(a % b);
}

// Where the 16-byte chunk `chunk` of row `row` lies in a tile in shared memory whose rows are `chunks_per_row` (a power
// of two) chunks long, counted in chunks. Eight rows at one chunk, which is what ldmatrix reads at once, lie in eight
// different groups of banks; so do the chunks of rows that are stored together.
REMUDA_HOST_DEVICE constexpr int swizzled_chunk(int row, int chunk, int chunks_per_row) {
  const int rows_per_line = chunks_per_row >= 8 ? 1 : 8 / chunks_per_row;  // A line is all banks: 8 chunks.
  const int within = (row / rows_per_line) % (chunks_per_row >= 8 ? 8 : chunks_per_row);
  return row * chunks_per_row + (chunk ^ within);
}

// The 16 x 8 x 16 product of tensor cores (PTX ISA, "Matrix Fragments for mma.m16n8k16"): which element of a fragment a
// lane holds. Rows r and r + 8 of the result, columns c and c + 1.
REMUDA_HOST_DEVICE constexpr int fragment_row(int lane) { return lane / 4; }
REMUDA_HOST_DEVICE constexpr int fragment_column(int lane) { return 2 * (lane % 4); }

// What a block of an attention has: of a group of queries, at rows [query_row, query_row + num_queries), those from
// first_query on, as many as a tile holds; and the keys that they all attend to, at rows [key_row, key_row + num_keys),
// at least one. In an encoder a group and its keys are a sequence; in a decoder's step they are the beams of a
// document, and the document. A tile without queries and keys is one that nothing is done for.
struct AttentionTile {
  int32_t key_row;
  int32_t num_keys;
  int32_t query_row;
  int32_t num_queries;
  int32_t first_query;
};

// All tiles of groups of queries and their keys, those of the most keys first, since a block that begins last should be
// short. Which tile a query is in follows from its place in its own group alone. Both offsets: [groups + 1], rising
// from 0.
inline std::vector<AttentionTile> attention_tiles(std::span<const int64_t> query_offsets,
                                                  std::span<const int64_t> key_offsets, int queries_per_tile) {
  std::vector<AttentionTile> tiles;
  for (size_t g = 0; g + 1 < query_offsets.size(); ++g) {
    const auto queries = static_cast<int32_t>(query_offsets[g + 1] - query_offsets[g]);
    const auto keys = static_cast<int32_t>(key_offsets[g + 1] - key_offsets[g]);
    for (int32_t query = 0; query < queries; query += queries_per_tile) {
      tiles.push_back({.key_row = static_cast<int32_t>(key_offsets[g]),
                       .num_keys = keys,
                       .query_row = static_cast<int32_t>(query_offsets[g]),
                       .num_queries = queries,
                       .first_query = query});
    }
  }
  std::sort(tiles.begin(), tiles.end(), [](const AttentionTile& a, const AttentionTile& b) {
    return std::tuple(-a.num_keys, a.query_row, a.first_query) < std::tuple(-b.num_keys, b.query_row, b.first_query);
  });
  return tiles;
}
// Of sequences that attend to themselves.
inline std::vector<AttentionTile> attention_tiles(std::span<const int64_t> offsets, int queries_per_tile) {
  return attention_tiles(offsets, offsets, queries_per_tile);
}

// The blocks of an attention launch are tiles times heads, a tile's heads beside each other: they read the same rows.
struct AttentionBlock {
  int64_t tile;
  int head;
};
REMUDA_HOST_DEVICE constexpr AttentionBlock attention_block(int64_t block, int num_heads) {
  return {block / num_heads, static_cast<int>(block % num_heads)};
}

// A launch: a row of blocks of `threads` each. shared_bytes: dynamic shared memory of a block.
struct Launch {
  int64_t blocks = 0;
  int threads = 0;
  int shared_bytes = 0;
};

// The most blocks of a one-dimensional grid.
inline constexpr int64_t kMaxBlocks = (int64_t{1} << 31) - 1;

// Kernels that give a warp to each row.
inline constexpr int kRowWarps = 4;
inline Launch launch_of_rows(int64_t rows) {
  return {.blocks = divide_up(rows, kRowWarps), .threads = kRowWarps * kWarpSize};
}

// Kernels that give each thread one vector of elements.
inline constexpr int kElementThreads = 256;
inline Launch launch_of_vectors(int64_t vectors) {
  return {.blocks = divide_up(vectors, kElementThreads), .threads = kElementThreads};
}

}  // namespace remuda::kernels::cuda
