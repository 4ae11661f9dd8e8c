// Attention of a decoder's step to what a cache holds, on a GPU, as one thread sees it. What the beams of a document
// share, attention_body.h does.
//
// `Thread` is the machine: DeviceThread on a GPU, HostThread in the tests. A row's result depends on that row and its
// own keys alone, bit for bit.
#pragma once

#include <cstdint>

#include "kernels/cuda/element.h"
#include "kernels/cuda/geometry.h"
#include "kernels/cuda/rowwise_body.h"

namespace remuda::kernels::cuda {

// A sequence of a decoder's step. Its document's log has the keys and values of all its sequences, as nn/kv_cache.h
// says: entry s of what this one attends to is row tables[table + s] of each part of the log.
struct LogSequence {
  void* log = nullptr;    // [layers][keys, values][part_rows][num_heads * head_dim], of the step's element type
  int64_t part_rows = 0;  //
  int32_t table = 0;      // Where its table begins, in the step's `tables`.
  int32_t length = 0;     // At least 1. The last entry is this step's row, which no other sequence names.
};

// Each row's key and value are put into its log, then its query attends to all that its table names.
template <class Element>
struct CachedAttentionParams {
  const Element* q = nullptr;  // [count, num_heads * head_dim], of rows `stride` elements apart, and k and v
  const Element* k = nullptr;
  const Element* v = nullptr;
  int64_t stride = 0;
  const LogSequence* sequences = nullptr;  // [count]
  const int32_t* tables = nullptr;
  int layer = 0;
  Element* out = nullptr;  // [count, num_heads * head_dim], of rows out_stride elements apart
  int64_t out_stride = 0;
  int64_t count = 0;
  int num_heads = 0;
  int head_dim = 0;  // Up to kMaxCachedHeadDim.
  float scale = 1.0f;
};

inline constexpr int kMaxCachedHeadDim = 128;

inline Launch launch_of_cached_attention(int64_t count, int num_heads) { return launch_of_rows(count * num_heads); }

// A warp has a query of a head. A lane has a key of every 32 while it scores, and columns of the output while it sums.
template <class Element, class Thread>
class CachedAttentionBody {
 public:
  REMUDA_HOST_DEVICE CachedAttentionBody(Thread& thread, const CachedAttentionParams<Element>& params)
      : thread_(thread),
        p_(params),
        row_(row_of_warp(thread) / params.num_heads),
        first_column_(static_cast<int>(row_of_warp(thread) % params.num_heads) * params.head_dim),
        lane_(thread.index() % kWarpSize) {}

  REMUDA_HOST_DEVICE void run() {
    if (row_ >= p_.count) return;
    const LogSequence& sequence = p_.sequences[row_];
    const int64_t part = sequence.part_rows * p_.num_heads * p_.head_dim;
    keys_ = static_cast<Element*>(sequence.log) + 2 * p_.layer * part;
    values_ = keys_ + part;
    table_ = p_.tables + sequence.table;
    append(sequence.length - 1);
    for (int first = 0; first < sequence.length; first += kWarpSize) attend(first, sequence.length);
    Element* out = p_.out + row_ * p_.out_stride + first_column_;
    REMUDA_UNROLL
    for (int c = 0; c < kColumns; ++c) {
      const int within = c * kWarpSize + lane_;
      if (within < p_.head_dim) out[within] = from_float<Element>(o_[c] / sum_);
    }
  }

 private:
  static constexpr int kColumns = kMaxCachedHeadDim / kWarpSize;

  // Of a row of keys or values, where this head's begins.
  REMUDA_HOST_DEVICE int64_t element(int position) const {
    return int64_t{table_[position]} * p_.num_heads * p_.head_dim + first_column_;
  }

  // This head's part of the row's key and value, which only this warp reads in this step.
  REMUDA_HOST_DEVICE void append(int position) {
    const int64_t from = row_ * p_.stride + first_column_;
    const int64_t to = element(position);
    for (int within = lane_; within < p_.head_dim; within += kWarpSize) {
      keys_[to + within] = p_.k[from + within];
      values_[to + within] = p_.v[from + within];
    }
    thread_.sync_warp();
  }

  REMUDA_HOST_DEVICE float score(int position) const {
    const Element* q = p_.q + row_ * p_.stride + first_column_;
    const Element* k = keys_ + element(position);
    float sum = 0.0f;
    int d = 0;
    // A lane reads its key by itself, so as much at once as there is; keys begin where such a read may.
    constexpr int kWidth = kChunkBytes / static_cast<int>(sizeof(Element));
    if (p_.head_dim % kWidth == 0) {
      for (; d < p_.head_dim; d += kWidth) {
        const auto vector = *reinterpret_cast<const Vector<Element, kWidth>*>(k + d);
        REMUDA_UNROLL
        for (int i = 0; i < kWidth; ++i) sum += to_float(q[d + i]) * to_float(vector.at[i]);
      }
    }
    for (; d < p_.head_dim; ++d) sum += to_float(q[d]) * to_float(k[d]);
    return sum * p_.scale;
  }

  REMUDA_HOST_DEVICE void attend(int first, int length) {
    const bool there = first + lane_ < length;
    const float value = there ? score(first + lane_) : -thread_.infinity();
    const float maximum = thread_.maximum(warp_maximum(thread_, value), maximum_);
    const float base = maximum == -thread_.infinity() ? 0.0f : maximum;
    const float correction = thread_.exp(maximum_ - base);
    const float weight = thread_.exp(value - base);
    maximum_ = maximum;
    sum_ = sum_ * correction + warp_sum(thread_, weight);
    REMUDA_UNROLL
    for (int c = 0; c < kColumns; ++c) o_[c] *= correction;
    const int keys = length - first < kWarpSize ? length - first : kWarpSize;
    for (int i = 0; i < keys; ++i) {
      const float w = thread_.shuffle(weight, i);
      const Element* v = values_ + element(first + i);
      REMUDA_UNROLL
      for (int c = 0; c < kColumns; ++c) {
        const int within = c * kWarpSize + lane_;
        if (within < p_.head_dim) o_[c] += w * to_float(v[within]);
      }
    }
  }

  Thread& thread_;
  const CachedAttentionParams<Element>& p_;
  const int64_t row_;
  const int first_column_;
  const int lane_;

  Element* keys_ = nullptr;  // Of the layer.
  Element* values_ = nullptr;
  const int32_t* table_ = nullptr;

  float o_[kColumns] = {};
  float maximum_ = -thread_.infinity();
  float sum_ = 0.0f;
};

}  // namespace remuda::kernels::cuda
