// The row-wise and attention kernels of one instruction set, behind function pointers.
//
// The arguments are plain structs: the sources behind them are compiled with an instruction set's flags, and so must
// not share inline functions with the rest of the program (see simd_generic.h).
#pragma once

#include <cstdint>

namespace remuda::kernels {

// Rows of x and y are `stride` floats apart.
struct LayerNormRows {
  const float* x;
  int64_t x_stride;
  float* y;
  int64_t y_stride;
  int64_t rows;
  int64_t cols;
  const float* gamma;
  const float* beta;
  float epsilon;
};

enum class TableType { kF32, kF16, kBF16 };

// y[i] = scale * table[ids[i]] (at any address), or y[i] += table[ids[i]].
struct GatheredRows {
  const void* table;
  int64_t table_stride_bytes;
  TableType type;
  const int32_t* ids;
  float* y;
  int64_t y_stride;
  int64_t rows;
  int64_t cols;
  float scale;
  bool add;
};

// One head of one sequence: `length` tokens whose rows of q, k, v and out are `stride` floats apart.
struct AttentionHead {
  const float* q;
  const float* k;
  const float* v;
  float* out;
  int64_t q_stride;
  int64_t k_stride;
  int64_t v_stride;
  int64_t out_stride;
  int64_t length;
  int64_t head_dim;
  float scale;
  const float* bias;  // bias[s - t] is added to the score of key s for query t; nullptr for none.
  float* scratch;     // attention_scratch_floats(length, head_dim) floats, aligned to 64 bytes.
};

// The widest vector, and the most query rows that are computed at a time, of any instruction set.
constexpr int64_t kMaxVectorWidth = 16;
constexpr int64_t kMaxQueryRows = 12;

constexpr int64_t round_up(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

// Room for K transposed, V, the scores of a block of queries, and a panel of K.
constexpr int64_t attention_scratch_floats(int64_t length, int64_t head_dim) {
  const int64_t padded_length = round_up(length, kMaxVectorWidth);
  const int64_t padded_dim = round_up(head_dim, kMaxVectorWidth);
  return padded_length * (2 * padded_dim + kMaxQueryRows) + kMaxVectorWidth * padded_dim;
}

// How keys and values wait for later queries.
enum class StoredAs { kFp32, kBf16 };

// Elements that the packed keys, and the packed values, of one head take.
constexpr int64_t packed_keys(int64_t length, int64_t head_dim) { return round_up(length, kMaxVectorWidth) * head_dim; }
constexpr int64_t packed_values(int64_t length, int64_t head_dim) {
  return length * round_up(head_dim, kMaxVectorWidth);
}

// One head's keys and values on their way into the layout of attention_head's products.
struct PackedHead {
  const float* k;
  const float* v;
  int64_t k_stride;
  int64_t v_stride;
  int64_t length;
  int64_t head_dim;
  StoredAs stored;
  void* keys;      // packed_keys(length, head_dim) elements.
  void* values;    // packed_values(length, head_dim) elements.
  float* scratch;  // kMaxVectorWidth * head_dim floats.
};

// `count` queries against one head's packed keys and values.
struct PackedAttention {
  const float* q;
  float* out;
  int64_t q_stride;
  int64_t out_stride;
  int64_t count;
  const void* keys;
  const void* values;
  int64_t length;
  int64_t head_dim;
  float scale;
  StoredAs stored;
  float* scratch;  // kMaxQueryRows * round_up(length, kMaxVectorWidth) floats.
};

// One query against one head of `length` keys and values: number s is row rows[s], rows being `stride` elements apart.
struct CachedAttention {
  const float* q;
  float* out;
  const void* keys;
  const void* values;
  int64_t stride;
  const int32_t* rows;
  int64_t length;
  int64_t head_dim;
  float scale;
  StoredAs stored;
  float* scratch;  // round_up(length, kMaxVectorWidth) floats.
};

struct RowwiseKernels {
  void (*layer_norm)(const LayerNormRows& rows);
  void (*gather)(const GatheredRows& rows);
  void (*attention_head)(const AttentionHead& head);
  void (*pack_head)(const PackedHead& head);
  void (*attend_packed)(const PackedAttention& attention);
  void (*attend_cached)(const CachedAttention& attention);
  void (*narrow_to_bf16)(const float* x, int64_t n, uint16_t* out);
  void (*gelu)(float* x, int64_t n);
  void (*gelu_tanh)(float* x, int64_t n);
  void (*relu)(float* x, int64_t n);
  void (*tanh)(float* x, int64_t n);
  void (*gated_sigmoid)(float* x, int64_t n, float slope);  // x sigmoid(slope x)
  void (*sigmoid)(float* x, int64_t n);
  void (*mish)(float* x, int64_t n);
};

extern const RowwiseKernels kRowwiseGeneric;
extern const RowwiseKernels kRowwiseAvx2;    // All nullptr where the build is not for x86.
extern const RowwiseKernels kRowwiseAvx512;  // Likewise.

// As RowwiseKernels::attention_head, with what is multiplied rounded to bf16. Where the build is for x86.
void attention_head_avx512_bf16(const AttentionHead& head);

}  // namespace remuda::kernels
