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

// A block's queries: [first_query, first_query + queries of a tile) of the sequence at rows [first_row, first_row +
// length).
struct AttentionTile {
  int32_t first_row;
  int32_t length;
  int32_t first_query;
};

// All tiles of a ragged batch, those of the longest sequences first, since a block that begins last should be short.
// Which tile a query is in follows from its place in its own sequence alone. offsets: [sequences + 1], rising from 0.
inline std::vector<AttentionTile> attention_tiles(std::span<const int64_t> offsets, int queries_per_tile) {
  std::vector<AttentionTile> tiles;
  for (size_t s = 0; s + 1 < offsets.size(); ++s) {
    const int64_t length = offsets[s + 1] - offsets[s];
    for (int64_t query = 0; query < length; query += queries_per_tile) {
      tiles.push_back({static_cast<int32_t>(offsets[s]), static_cast<int32_t>(length), static_cast<int32_t>(query)});
    }
  }
  std::sort(tiles.begin(), tiles.end(), [](const AttentionTile& a, const AttentionTile& b) {
    return std::tuple(-a.length, a.first_row, a.first_query) < std::tuple(-b.length, b.first_row, b.first_query);
  });
  return tiles;
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
