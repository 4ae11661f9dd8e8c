// Attention over a ragged batch without tensor cores: in float throughout, of any element type and head size up to 256.
// Parameters and the order of keys are those of attention_body.h; a block has 16 queries, a warp four, and a lane has a
// key of a tile while it scores and columns of the output while it sums.
#pragma once

#include "kernels/cuda/attention_body.h"
#include "kernels/cuda/rowwise_body.h"

namespace remuda::kernels::cuda {

inline constexpr int kPlainWarpQueries = 4;
inline constexpr int kPlainQueries = kAttentionWarps * kPlainWarpQueries;
inline constexpr int kPlainKeys = kWarpSize;
inline constexpr int64_t kMaxPlainHeadDim = 256;

// Queries, keys and values as floats, then the weights of each query's keys of a tile. A row is one float longer, so
// that 32 keys lie in 32 banks.
REMUDA_HOST_DEVICE constexpr int plain_row_floats(int head_dim) { return head_dim + 1; }
inline Launch launch_of_plain_attention(int64_t num_tiles, int num_heads, int64_t head_dim) {
  const int row = plain_row_floats(static_cast<int>(head_dim));
  const int floats = (kPlainQueries + 2 * kPlainKeys) * row + kPlainQueries * kPlainKeys;
  return {.blocks = num_tiles * num_heads,
          .threads = kAttentionThreads,
          .shared_bytes = floats * static_cast<int>(sizeof(float))};
}

// `columns`: how many of the output's a lane has.
template <class Element, int columns, class Thread>
class PlainAttentionBody {
 public:
  REMUDA_HOST_DEVICE PlainAttentionBody(Thread& thread, const AttentionParams<Element>& params)
      : thread_(thread),
        p_(params),
        head_(attention_block(thread.block(), params.num_heads).head),
        tile_(params.tiles[attention_block(thread.block(), params.num_heads).tile]),
        keys_values_(keys_values_of(params, attention_block(thread.block(), params.num_heads).tile)),
        row_(plain_row_floats(params.head_dim)),
        q_(reinterpret_cast<float*>(thread.shared())),
        k_(q_ + kPlainQueries * row_),
        v_(k_ + kPlainKeys * row_),
        weights_(v_ + kPlainKeys * row_ + thread.index() / kWarpSize * kPlainWarpQueries * kPlainKeys),
        lane_(thread.index() % kWarpSize),
        warp_(thread.index() / kWarpSize) {}

  REMUDA_HOST_DEVICE void run() {
    load(p_.q, p_.q_stride, tile_.query_row, tile_.num_queries, tile_.first_query, kPlainQueries, q_);
    for (int key = 0; key < tile_.num_keys; key += kPlainKeys) {
      load(keys_values_.k, p_.kv_stride, tile_.key_row, tile_.num_keys, key, kPlainKeys, k_);
      load(keys_values_.v, p_.kv_stride, tile_.key_row, tile_.num_keys, key, kPlainKeys, v_);
      thread_.sync();
      // The same for all of a warp: it has queries or has none. Of those after the last nothing is stored.
      if (query(0) < tile_.num_queries) {
        weigh(key);
        add_values();
      }
      thread_.sync();
    }
    REMUDA_UNROLL
    for (int i = 0; i < kPlainWarpQueries; ++i) {
      if (query(i) < tile_.num_queries) store(i);
    }
  }

 private:
  REMUDA_HOST_DEVICE int query(int i) const { return tile_.first_query + warp_ * kPlainWarpQueries + i; }

  // `rows` rows from `first` on of the `count` that begin at begin_row, zeros after their end.
  REMUDA_HOST_DEVICE void load(const Element* from, int64_t stride, int begin_row, int count, int first, int rows,
                               float* to) {
    for (int i = thread_.index(); i < rows * p_.head_dim; i += kAttentionThreads) {
      const int at = first + i / p_.head_dim;
      const int within = i % p_.head_dim;
      float* const value = to + i / p_.head_dim * row_ + within;
      *value = at < count ? to_float(from[(int64_t{begin_row} + at) * stride + head_ * p_.head_dim + within]) : 0.0f;
    }
  }

  REMUDA_HOST_DEVICE float bias(int i, int key) const {
    if (p_.relative_bias == nullptr || query(i) >= tile_.num_queries) return 0.0f;
    const int64_t head_bias = int64_t{head_} * (2 * p_.max_distance + 1);
    return p_.relative_bias[head_bias + key - query(i) + p_.max_distance];
  }

  // The weights of this lane's key for the warp's queries, to weights_; what was summed before is brought to the new
  // maximum.
  REMUDA_HOST_DEVICE void weigh(int first_key) {
    float scores[kPlainWarpQueries] = {};
    const float* q = q_ + warp_ * kPlainWarpQueries * row_;
    for (int d = 0; d < p_.head_dim; ++d) {
      const float k = k_[lane_ * row_ + d];
      REMUDA_UNROLL
      for (int i = 0; i < kPlainWarpQueries; ++i) scores[i] += q[i * row_ + d] * k;
    }
    const int key = first_key + lane_;
    REMUDA_UNROLL
    for (int i = 0; i < kPlainWarpQueries; ++i) {
      const float score = key < tile_.num_keys ? scores[i] * p_.scale + bias(i, key) : -thread_.infinity();
      const float maximum = thread_.maximum(maximum_[i], warp_maximum(thread_, score));
      // Of scores that are all minus infinity.
      const float base = maximum == -thread_.infinity() ? 0.0f : maximum;
      const float correction = thread_.exp(maximum_[i] - base);
      const float weight = thread_.exp(score - base);
      maximum_[i] = maximum;
      sum_[i] = sum_[i] * correction + warp_sum(thread_, weight);
      weights_[i * kPlainKeys + lane_] = weight;
      REMUDA_UNROLL
      for (int c = 0; c < columns; ++c) o_[i][c] *= correction;
    }
    thread_.sync_warp();
  }

  REMUDA_HOST_DEVICE void add_values() {
    for (int key = 0; key < kPlainKeys; ++key) {
      REMUDA_UNROLL
      for (int c = 0; c < columns; ++c) {
        const int within = c * kWarpSize + lane_;
        if (within >= p_.head_dim) continue;
        const float v = v_[key * row_ + within];
        REMUDA_UNROLL
        for (int i = 0; i < kPlainWarpQueries; ++i) o_[i][c] += weights_[i * kPlainKeys + key] * v;
      }
    }
  }

  REMUDA_HOST_DEVICE void store(int i) {
    Element* out = p_.out + (int64_t{tile_.query_row} + query(i)) * p_.out_stride + head_ * p_.head_dim;
    REMUDA_UNROLL
    for (int c = 0; c < columns; ++c) {
      const int within = c * kWarpSize + lane_;
      if (within < p_.head_dim) out[within] = from_float<Element>(o_[i][c] / sum_[i]);
    }
  }

  Thread& thread_;
  const AttentionParams<Element>& p_;
  const int head_;
  const AttentionTile tile_;
  const KeysValues<Element> keys_values_;
  const int row_;
  float* const q_;
  float* const k_;
  float* const v_;
  float* const weights_;  // [kPlainWarpQueries, kPlainKeys], this warp's
  const int lane_;
  const int warp_;

  float o_[kPlainWarpQueries][columns] = {};
  float maximum_[kPlainWarpQueries] = {-thread_.infinity(), -thread_.infinity(), -thread_.infinity(),
                                       -thread_.infinity()};
  float sum_[kPlainWarpQueries] = {};
};

}  // namespace remuda::kernels::cuda
