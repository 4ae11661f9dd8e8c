#include <gtest/gtest.h>

#include <random>
#include <set>
#include <stdexcept>

#include "kernels/cuda/attention_body.h"
#include "kernels/cuda/geometry.h"
#include "kernels/cuda/plain_attention_body.h"
#include "kernels/cuda/pooling_body.h"
#include "kernels/cuda/testing/host_thread.h"

namespace remuda::kernels::cuda {
namespace {

TEST(CudaGeometry, RemaindersAreRightForShortAndLongNumbers) {
  for (const int64_t a : {int64_t{0}, int64_t{5}, int64_t{0xffffffff}, int64_t{0x100000000}, int64_t{1} << 40}) {
    for (const int b : {1, 3, 192, 0x7fffffff}) EXPECT_EQ(remainder_of(a, b), a % b) << a << " % " << b;
  }
}

TEST(CudaGeometry, SwizzledChunksAreAPermutationOfTheTile) {
  for (const int chunks : {1, 2, 4, 8, 16, 32}) {
    std::set<int> seen;
    for (int row = 0; row < 64; ++row) {
      for (int chunk = 0; chunk < chunks; ++chunk) {
        const int at = swizzled_chunk(row, chunk, chunks);
        EXPECT_EQ(at / chunks, row);  // Stays in its row.
        seen.insert(at);
      }
    }
    EXPECT_EQ(seen.size(), static_cast<size_t>(64 * chunks));
  }
}

// Shared memory has 32 banks of 4 bytes, so 8 chunks of 16 bytes are read at once if no two are a multiple of 8 apart.
TEST(CudaGeometry, EightRowsAtOneChunkLieInDifferentBanks) {
  for (const int chunks : {4, 8, 16}) {
    for (int row = 0; row < 64; row += 8) {
      for (int chunk = 0; chunk < chunks; ++chunk) {
        std::set<int> banks;
        for (int i = 0; i < 8; ++i) banks.insert(swizzled_chunk(row + i, chunk, chunks) % 8);
        EXPECT_EQ(banks.size(), 8u) << "rows of " << chunks << " chunks, row " << row << ", chunk " << chunk;
      }
    }
  }
}

TEST(CudaGeometry, EightChunksStoredTogetherLieInDifferentBanks) {
  for (const int chunks : {4, 8, 16}) {
    for (int first = 0; first < 64 * chunks; first += 8) {
      std::set<int> banks;
      for (int i = first; i < first + 8; ++i) banks.insert(swizzled_chunk(i / chunks, i % chunks, chunks) % 8);
      EXPECT_EQ(banks.size(), 8u);
    }
  }
}

TEST(CudaGeometry, TilesCoverEveryQueryOnceAndLongSequencesComeFirst) {
  std::mt19937 random(7);
  for (int repeat = 0; repeat < 200; ++repeat) {
    std::vector<int64_t> offsets = {0};
    for (uint64_t s = random() % 20; s > 0; --s)
      offsets.push_back(offsets.back() + static_cast<int64_t>(random() % 300));
    for (const int queries : {16, 64}) {
      std::vector<int> seen(static_cast<size_t>(offsets.back()));
      int last_length = 1 << 30;
      for (const AttentionTile& tile : attention_tiles(offsets, queries)) {
        EXPECT_LE(tile.num_keys, last_length);
        last_length = tile.num_keys;
        EXPECT_EQ(tile.num_queries, tile.num_keys);
        EXPECT_EQ(tile.query_row, tile.key_row);
        EXPECT_EQ(tile.first_query % queries, 0);
        const auto sequence = std::find(offsets.begin(), offsets.end() - 1, tile.key_row);
        ASSERT_NE(sequence, offsets.end() - 1);
        for (int q = tile.first_query; q < std::min(tile.first_query + queries, tile.num_queries); ++q) {
          ++seen[static_cast<size_t>(tile.query_row + q)];
        }
      }
      for (const int times : seen) ASSERT_EQ(times, 1);
    }
  }
}

TEST(CudaGeometry, TilesOfGroupsHaveTheirOwnKeys) {
  const std::vector<int64_t> queries = {0, 4, 4, 70};
  const std::vector<int64_t> keys = {0, 9, 12, 20};
  const std::vector<AttentionTile> tiles = attention_tiles(queries, keys, 64);
  ASSERT_EQ(tiles.size(), 3u);  // Four queries, none, and 66.
  EXPECT_EQ(tiles[0].num_keys, 9);
  EXPECT_EQ(tiles[0].num_queries, 4);
  for (const size_t i : {1, 2}) {
    EXPECT_EQ(tiles[i].key_row, 12);
    EXPECT_EQ(tiles[i].num_keys, 8);
    EXPECT_EQ(tiles[i].query_row, 4);
    EXPECT_EQ(tiles[i].num_queries, 66);
    EXPECT_EQ(tiles[i].first_query, static_cast<int>(i - 1) * 64);
  }
}

TEST(CudaGeometry, BlocksOfAnAttentionAreEveryTileAndHeadOnce) {
  std::set<std::pair<int64_t, int>> seen;
  for (int64_t block = 0; block < 7 * 12; ++block) {
    const AttentionBlock found = attention_block(block, 12);
    EXPECT_LT(found.tile, 7);
    EXPECT_LT(found.head, 12);
    seen.insert({found.tile, found.head});
  }
  EXPECT_EQ(seen.size(), 84u);
  EXPECT_EQ(attention_block(kMaxBlocks, 1).tile, kMaxBlocks);
}

TEST(CudaGeometry, LaunchesCoverEveryRowAndColumn) {
  for (int64_t rows = 0; rows < 100; ++rows) {
    const Launch launch = launch_of_rows(rows);
    EXPECT_GE(launch.blocks * kRowWarps, rows);
    EXPECT_LT((launch.blocks - 1) * kRowWarps, rows);
    EXPECT_GE(launch_of_vectors(rows).blocks * kElementThreads, rows);
    EXPECT_GE(pool_blocks_per_sequence(static_cast<int>(rows)) * kPoolThreads, rows);
  }
}

// 227 KiB are the most that a block may have on an H100, 163 on an A100; two blocks should fit there.
TEST(CudaGeometry, SharedMemoryFitsTheDevices) {
  for (int64_t head_dim = 8; head_dim <= 128; head_dim += 8) {
    EXPECT_LE(launch_of_attention(1, 1, head_dim).shared_bytes, 163 * 1024 / 2) << head_dim;
  }
  for (int64_t head_dim = 1; head_dim <= kMaxPlainHeadDim; ++head_dim) {
    EXPECT_LE(launch_of_plain_attention(1, 1, head_dim).shared_bytes, 163 * 1024) << head_dim;
  }
}

// What the tests of kernels trust the processor's block to find.
TEST(CudaHostBlock, FindsABarrierThatNotAllReach) {
  const auto body = [](HostThread& thread) {
    if (thread.index() != 5) thread.sync();
  };
  EXPECT_THROW(HostBlock::run({1, 64, 0}, 0, {}, body), std::logic_error);
}

TEST(CudaHostBlock, FindsAShuffleThatNotAllJoin) {
  const auto body = [](HostThread& thread) {
    if (thread.index() % 2 == 0) thread.shuffle_xor(1.0f, 1);
  };
  EXPECT_THROW(HostBlock::run({1, 32, 0}, 0, {}, body), std::logic_error);
}

TEST(CudaHostBlock, FindsAWarpThatDoesTwoThings) {
  const auto body = [](HostThread& thread) { thread.shuffle_xor(1.0f, thread.index() < 16 ? 1 : 2); };
  EXPECT_THROW(HostBlock::run({1, 32, 0}, 0, {}, body), std::logic_error);
}

TEST(CudaHostBlock, FindsAnAddressOutsideSharedMemory) {
  const auto body = [](HostThread& thread) {
    uint32_t words[4];
    thread.load_matrices(words, thread.shared() + (thread.index() == 31 ? 512 : 0));
  };
  EXPECT_THROW(HostBlock::run({1, 32, 512}, 0, {}, body), std::logic_error);
}

TEST(CudaHostBlock, ARaceShowsAsADifference) {
  std::set<int> results;
  for (const auto order :
       {HostSchedule::Order::kForward, HostSchedule::Order::kBackward, HostSchedule::Order::kShuffled}) {
    int last = -1;
    HostBlock::run({1, 64, 0}, 0, {order, false}, [&](HostThread& thread) { last = thread.index(); });
    results.insert(last);
  }
  EXPECT_GT(results.size(), 1u);
}

TEST(CudaHostBlock, ACopyThatIsNotWaitedForIsPoison) {
  alignas(16) const float from[4] = {1, 2, 3, 4};
  const auto read = [&](bool waits) {
    float found = 0.0f;
    HostBlock::run({1, 1, 16}, 0, {}, [&](HostThread& thread) {
      thread.copy_async(thread.shared(), from, true);
      thread.commit_copies();
      if (waits) thread.wait_for_copies<0>();
      found = *reinterpret_cast<float*>(thread.shared());
    });
    return found;
  };
  EXPECT_EQ(read(true), 1.0f);
  EXPECT_TRUE(std::isnan(read(false)));
}

}  // namespace
}  // namespace remuda::kernels::cuda
