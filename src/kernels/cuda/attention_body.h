// Attention over a ragged batch on the tensor cores of a GPU, as one thread sees it; kernels/attention.h says what it
// computes. One pass over the keys with a running maximum and sum (Dao 2023, "FlashAttention-2", algorithm 1), products
// of 16-bit elements with float sums (mma.m16n8k16), the softmax in float.
//
// A block of four warps has 64 queries of one head of one group (geometry.h), a warp 16 of them. Keys and values come
// in tiles of 64, the next one while this one is used. A query's keys are taken in the same steps wherever they lie and
// whatever else is in the batch, so its result is the same bits.
//
// `Thread` is the machine: DeviceThread on a GPU, HostThread in the tests.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/element.h"
#include "kernels/cuda/geometry.h"

namespace remuda::kernels::cuda {

template <class Element>
struct AttentionParams {
  const Element* q = nullptr;  // [queries, num_heads * head_dim], of rows q_stride elements apart
  const Element* k = nullptr;  // [keys, num_heads * head_dim], and v, of rows kv_stride elements apart
  const Element* v = nullptr;
  int64_t q_stride = 0;
  int64_t kv_stride = 0;
  Element* out = nullptr;  // [queries, num_heads * head_dim]
  int64_t out_stride = 0;
  const AttentionTile* tiles = nullptr;  // [num_tiles]
  int64_t num_tiles = 0;
  int num_heads = 0;
  int head_dim = 0;
  float scale = 1.0f;
  // [num_heads, 2 * max_distance + 1], entry [h][s - t + max_distance]; or nullptr. No sequence may be longer than
  // max_distance + 1. Of sequences that attend to themselves.
  const float* relative_bias = nullptr;
  int max_distance = 0;
  // [num_tiles], where each tile has keys and values in memory of its own, as a document's beams have in a decoder:
  // [layers, num_keys, 2 * num_heads * head_dim], of which layer `layer` is attended to; or nullptr. Then k and v don't
  // count, a tile's key_row is 0, and kv_stride must be 2 * num_heads * head_dim.
  const void* const* tile_keys = nullptr;
  int layer = 0;
};

// Where a tile's keys begin, of row 0, and its values.
template <class Element>
struct KeysValues {
  const Element* k;
  const Element* v;
};
template <class Element>
REMUDA_HOST_DEVICE KeysValues<Element> keys_values_of(const AttentionParams<Element>& p, int64_t tile) {
  if (p.tile_keys == nullptr) return {p.k, p.v};
  const Element* const layers = static_cast<const Element*>(p.tile_keys[tile]);
  if (layers == nullptr) return {nullptr, nullptr};  // A tile without keys.
  const Element* const k = layers + int64_t{p.layer} * p.tiles[tile].num_keys * p.kv_stride;
  return {k, k + p.kv_stride / 2};
}

inline constexpr int kAttentionWarps = 4;
inline constexpr int kAttentionThreads = kAttentionWarps * kWarpSize;
inline constexpr int kWarpQueries = 16;
inline constexpr int kTileQueries = kAttentionWarps * kWarpQueries;
inline constexpr int kTileKeys = 64;
inline constexpr int kBiasFloats = kTileQueries + kTileKeys;  // Distances between a tile's queries and keys, and one.

// Where things lie in a block's shared memory: two stages of keys, values and biases. `dim`: a head's elements, those
// that pad it to a power of two included.
template <int dim>
struct AttentionShared {
  static constexpr int kChunks = dim * 2 / kChunkBytes;  // A row's.
  static constexpr int kTileBytes = kTileKeys * kChunks * kChunkBytes;
  static constexpr int kStageBytes = 2 * kTileBytes + kBiasFloats * static_cast<int>(sizeof(float));
  static constexpr int kBytes = 2 * kStageBytes;

  std::byte* base;

  REMUDA_HOST_DEVICE std::byte* keys(int stage) const { return base + stage * kStageBytes; }
  REMUDA_HOST_DEVICE std::byte* values(int stage) const { return keys(stage) + kTileBytes; }
  REMUDA_HOST_DEVICE float* bias(int stage) const { return reinterpret_cast<float*>(values(stage) + kTileBytes); }
  REMUDA_HOST_DEVICE static std::byte* chunk(std::byte* tile, int row, int chunk) {
    return tile + swizzled_chunk(row, chunk, kChunks) * kChunkBytes;
  }
};

// Can the kernels of tensor cores do heads of this size? 16-byte loads ask for multiples of 8.
constexpr bool attends_on_tensor_cores(int64_t head_dim) { return head_dim <= 128 && head_dim % 8 == 0; }
// The kernel's `dim` for heads of this size.
constexpr int padded_head_dim(int64_t head_dim) { return head_dim <= 32 ? 32 : head_dim <= 64 ? 64 : 128; }

inline Launch launch_of_attention(int64_t num_tiles, int num_heads, int64_t head_dim) {
  const int dim = padded_head_dim(head_dim);
  return {.blocks = num_tiles * num_heads,
          .threads = kAttentionThreads,
          .shared_bytes = dim == 32   ? AttentionShared<32>::kBytes
                          : dim == 64 ? AttentionShared<64>::kBytes
                                      : AttentionShared<128>::kBytes};
}

template <class Element, int dim, class Thread>
class AttentionBlockBody {
 public:
  REMUDA_HOST_DEVICE AttentionBlockBody(Thread& thread, const AttentionParams<Element>& params)
      : thread_(thread),
        p_(params),
        head_(attention_block(thread.block(), params.num_heads).head),
        tile_(params.tiles[attention_block(thread.block(), params.num_heads).tile]),
        keys_values_(keys_values_of(params, attention_block(thread.block(), params.num_heads).tile)),
        shared_{thread.shared()},
        lane_(thread.index() % kWarpSize),
        warp_query_(tile_.first_query + thread.index() / kWarpSize * kWarpQueries) {}

  REMUDA_HOST_DEVICE void run() {
    load_queries();
    const int key_tiles = static_cast<int>(divide_up(tile_.num_keys, kTileKeys));
    fetch(0, 0);
    for (int tile = 0; tile < key_tiles; ++tile) {
      const int stage = tile % 2;
      if (tile + 1 < key_tiles) {
        fetch(tile + 1, 1 - stage);
        thread_.template wait_for_copies<1>();
      } else {
        thread_.template wait_for_copies<0>();
      }
      thread_.sync();
      // The same for all of a warp: it has queries or has none.
      if (warp_query_ < tile_.num_queries) attend(tile, stage);
      thread_.sync();
    }
    if (warp_query_ < tile_.num_queries) store();
  }

 private:
  static constexpr int kKeyBlocks = kTileKeys / 8;  // Of a product's 8 columns.
  static constexpr int kDimBlocks = dim / 8;
  static constexpr int kDimSteps = dim / 16;  // Of a product's 16 terms.
  using Shared = AttentionShared<dim>;

  // The rows of this lane: the warp's row fragment_row(lane) and the one 8 further.
  REMUDA_HOST_DEVICE int query(int half) const { return warp_query_ + fragment_row(lane_) + 8 * half; }
  REMUDA_HOST_DEVICE int64_t query_row(int half) const { return int64_t{tile_.query_row} + query(half); }
  REMUDA_HOST_DEVICE int column(int within) const { return head_ * p_.head_dim + within; }

  // Two neighbours of a query, as a product's operand; zeros outside the sequence and the head.
  REMUDA_HOST_DEVICE uint32_t query_pair(int half, int within) const {
    if (query(half) >= tile_.num_queries || within >= p_.head_dim) return 0;
    return *reinterpret_cast<const uint32_t*>(p_.q + query_row(half) * p_.q_stride + column(within));
  }

  REMUDA_HOST_DEVICE void load_queries() {
    REMUDA_UNROLL
    for (int step = 0; step < kDimSteps; ++step) {
      const int within = step * 16 + fragment_column(lane_);
      q_[step][0] = query_pair(0, within);
      q_[step][1] = query_pair(1, within);
      q_[step][2] = query_pair(0, within + 8);
      q_[step][3] = query_pair(1, within + 8);
    }
  }

  // Begins to copy a tile's keys and values, zeros after the sequence's end up to where products read.
  REMUDA_HOST_DEVICE void fetch(int tile, int stage) {
    const int first = tile * kTileKeys;
    const int keys = keys_of(tile);
    const int rows = static_cast<int>(divide_up(keys, 16)) * 16;
    for (int i = thread_.index(); i < rows * Shared::kChunks; i += kAttentionThreads) {
      const int key = i / Shared::kChunks;
      const int chunk = i % Shared::kChunks;
      const bool there = key < keys && chunk * 8 < p_.head_dim;
      const int64_t from = there ? (int64_t{tile_.key_row} + first + key) * p_.kv_stride + column(chunk * 8) : 0;
      thread_.copy_async(Shared::chunk(shared_.keys(stage), key, chunk), keys_values_.k + from, there);
      thread_.copy_async(Shared::chunk(shared_.values(stage), key, chunk), keys_values_.v + from, there);
    }
    thread_.commit_copies();
    if (p_.relative_bias == nullptr) return;
    const float* head_bias = p_.relative_bias + int64_t{head_} * (2 * p_.max_distance + 1);
    for (int i = thread_.index(); i < kBiasFloats; i += kAttentionThreads) {
      // Of queries and keys that there are not, a distance may be beyond the table.
      const int entry = first - tile_.first_query - (kTileQueries - 1) + i + p_.max_distance;
      shared_.bias(stage)[i] = entry >= 0 && entry <= 2 * p_.max_distance ? head_bias[entry] : 0.0f;
    }
  }

  REMUDA_HOST_DEVICE int keys_of(int tile) const {
    const int left = tile_.num_keys - tile * kTileKeys;
    return left < kTileKeys ? left : kTileKeys;
  }

  // Scores of this tile's keys, in s_, in units of log 2: e^x is then 2^s, one instruction.
  REMUDA_HOST_DEVICE void score(int tile, int stage) {
    constexpr float kLog2E = 1.4426950408889634f;
    const int keys = keys_of(tile);
    REMUDA_UNROLL
    for (int pair = 0; pair < kKeyBlocks / 2; ++pair) {
      REMUDA_UNROLL
      for (int i = 0; i < 4; ++i) s_[2 * pair][i] = s_[2 * pair + 1][i] = 0.0f;
      if (pair * 16 >= keys) continue;
      REMUDA_UNROLL
      for (int step = 0; step < kDimSteps; ++step) {
        uint32_t k[4];
        const int key = pair * 16 + lane_ / 16 * 8 + lane_ % 8;
        thread_.load_matrices(k, Shared::chunk(shared_.keys(stage), key, step * 2 + lane_ / 8 % 2));
        thread_.template multiply<Element>(s_[2 * pair], q_[step], k[0], k[1]);
        thread_.template multiply<Element>(s_[2 * pair + 1], q_[step], k[2], k[3]);
      }
    }
    REMUDA_UNROLL
    for (int block = 0; block < kKeyBlocks; ++block) {
      REMUDA_UNROLL
      for (int i = 0; i < 4; ++i) {
        const int key = block * 8 + fragment_column(lane_) + i % 2;
        float bias = 0.0f;
        if (p_.relative_bias != nullptr) {
          bias = shared_.bias(stage)[key - (query(i / 2) - tile_.first_query) + kTileQueries - 1];
        }
        const float value = s_[block][i] * (p_.scale * kLog2E) + bias * kLog2E;
        s_[block][i] = key < keys ? value : -thread_.infinity();
      }
    }
  }

  // Turns s_ to the softmax's weights, up to the sum, and what was summed before to the new maximum.
  REMUDA_HOST_DEVICE void weigh() {
    REMUDA_UNROLL
    for (int half = 0; half < 2; ++half) {
      float maximum = maximum_[half];
      REMUDA_UNROLL
      for (int block = 0; block < kKeyBlocks; ++block) {
        maximum = thread_.maximum(maximum, thread_.maximum(s_[block][2 * half], s_[block][2 * half + 1]));
      }
      // The four lanes of a row.
      maximum = thread_.maximum(maximum, thread_.shuffle_xor(maximum, 1));
      maximum = thread_.maximum(maximum, thread_.shuffle_xor(maximum, 2));
      // Of scores that are all minus infinity.
      const float base = maximum == -thread_.infinity() ? 0.0f : maximum;
      const float correction = thread_.exp2(maximum_[half] - base);
      maximum_[half] = maximum;
      sum_[half] *= correction;
      REMUDA_UNROLL
      for (int block = 0; block < kKeyBlocks; ++block) {
        REMUDA_UNROLL
        for (int i = 2 * half; i < 2 * half + 2; ++i) {
          s_[block][i] = thread_.exp2(s_[block][i] - base);
          sum_[half] += s_[block][i];
        }
      }
      REMUDA_UNROLL
      for (int block = 0; block < kDimBlocks; ++block) {
        o_[block][2 * half] *= correction;
        o_[block][2 * half + 1] *= correction;
      }
    }
  }

  REMUDA_HOST_DEVICE void attend(int tile, int stage) {
    score(tile, stage);
    weigh();
    const int keys = keys_of(tile);
    REMUDA_UNROLL
    for (int step = 0; step < kTileKeys / 16; ++step) {
      if (step * 16 >= keys) continue;
      // What a lane holds of a product's result is what it must hold of the next one's left operand.
      const uint32_t weights[4] = {pack<Element>(s_[2 * step][0], s_[2 * step][1]),
                                   pack<Element>(s_[2 * step][2], s_[2 * step][3]),
                                   pack<Element>(s_[2 * step + 1][0], s_[2 * step + 1][1]),
                                   pack<Element>(s_[2 * step + 1][2], s_[2 * step + 1][3])};
      REMUDA_UNROLL
      for (int pair = 0; pair < kDimBlocks / 2; ++pair) {
        uint32_t v[4];
        const int key = step * 16 + lane_ % 16;
        thread_.load_matrices_transposed(v, Shared::chunk(shared_.values(stage), key, pair * 2 + lane_ / 16));
        thread_.template multiply<Element>(o_[2 * pair], weights, v[0], v[1]);
        thread_.template multiply<Element>(o_[2 * pair + 1], weights, v[2], v[3]);
      }
    }
  }

  REMUDA_HOST_DEVICE void store() {
    REMUDA_UNROLL
    for (int half = 0; half < 2; ++half) {
      float sum = sum_[half];
      sum += thread_.shuffle_xor(sum, 1);
      sum += thread_.shuffle_xor(sum, 2);
      if (query(half) >= tile_.num_queries) continue;
      const float factor = 1.0f / sum;
      Element* out = p_.out + query_row(half) * p_.out_stride;
      REMUDA_UNROLL
      for (int block = 0; block < kDimBlocks; ++block) {
        const int within = block * 8 + fragment_column(lane_);
        if (within >= p_.head_dim) continue;
        *reinterpret_cast<uint32_t*>(out + column(within)) =
            pack<Element>(o_[block][2 * half] * factor, o_[block][2 * half + 1] * factor);
      }
    }
  }

  Thread& thread_;
  const AttentionParams<Element>& p_;
  const int head_;
  const AttentionTile tile_;
  const KeysValues<Element> keys_values_;
  const Shared shared_;
  const int lane_;
  const int warp_query_;  // This warp's first.

  uint32_t q_[kDimSteps][4];
  float s_[kKeyBlocks][4];
  float o_[kDimBlocks][4] = {};
  float maximum_[2] = {-thread_.infinity(), -thread_.infinity()};
  float sum_[2] = {};  // This lane's part.
};

}  // namespace remuda::kernels::cuda
