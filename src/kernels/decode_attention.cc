#include "kernels/decode_attention.h"

#include <algorithm>
#include <cstring>

#include "base/fail.h"
#include "kernels/rowwise_dispatch.h"
#include "kernels/thread_scratch.h"

namespace remuda::kernels {
namespace {

// Multiply-adds in a range: about a microsecond of work, and what handing it over costs.
constexpr int64_t kWorkPerRange = 16 * 1024;

int64_t tasks_per_range(int64_t work, int64_t tasks) {
  const int64_t ranges = std::clamp<int64_t>(work / kWorkPerRange, 1, tasks);
  return (tasks + ranges - 1) / ranges;
}

// Where the parts of a packed head lie: all its keys, then all its values, then the next head.
struct PackedLayout {
  size_t values;
  size_t head_bytes;

  PackedLayout(int64_t length, AttentionShape shape, StoredAs stored)
      : values(static_cast<size_t>(packed_keys(length, shape.head_dim)) * size_of(stored)),
        head_bytes(values + static_cast<size_t>(packed_values(length, shape.head_dim)) * size_of(stored)) {}
};

bool is_attention(MatrixView<const float> q, MatrixView<const float> out, AttentionShape shape) {
  const int64_t cols = shape.num_heads * shape.head_dim;
  return shape.num_heads > 0 && shape.head_dim > 0 && q.rows == out.rows && q.cols == cols && out.cols == cols;
}

}  // namespace

size_t PackedKeysValues::bytes_for(int64_t length, AttentionShape shape, StoredAs stored) {
  return static_cast<size_t>(shape.num_heads) * PackedLayout(length, shape, stored).head_bytes;
}

PackedKeysValues pack_keys_values(MatrixView<const float> k, MatrixView<const float> v, AttentionShape shape,
                                  StoredAs stored, std::byte* memory, ComputePool& pool, Isa isa) {
  check_invariant(is_attention(k, v, shape), "keys and values to be packed have the heads' shape");
  const RowwiseKernels& kernels = rowwise_kernels(isa);
  const PackedLayout layout(k.rows, shape, stored);
  pool.parallel_for(shape.num_heads, tasks_per_range(k.rows * k.cols, shape.num_heads),
                    [&](int64_t begin, int64_t end) {
                      for (int64_t head = begin; head < end; ++head) {
                        const int64_t column = head * shape.head_dim;
                        std::byte* packed = memory + static_cast<size_t>(head) * layout.head_bytes;
                        kernels.pack_head({.k = k.data + column,
                                           .v = v.data + column,
                                           .k_stride = k.stride,
                                           .v_stride = v.stride,
                                           .length = k.rows,
                                           .head_dim = shape.head_dim,
                                           .stored = stored,
                                           .keys = packed,
                                           .values = packed + layout.values,
                                           .scratch = thread_scratch(kMaxVectorWidth * shape.head_dim)});
                      }
                    });
  return {.data = memory, .length = k.rows, .shape = shape, .stored = stored, .isa = isa};
}

void attend_packed(MatrixView<const float> q, std::span<const PackedQueries> blocks, float scale, MatrixView<float> out,
                   ComputePool& pool) {
  if (blocks.empty()) return;
  const PackedKeysValues& any = *blocks.front().keys_values;
  const AttentionShape shape = any.shape;
  check_invariant(is_attention(q, out, shape), "queries have the heads' shape");
  const RowwiseKernels& kernels = rowwise_kernels(any.isa);
  int64_t work = 0;
  for (const PackedQueries& block : blocks) work += 2 * block.rows * block.keys_values->length * q.cols;
  const int64_t tasks = static_cast<int64_t>(blocks.size()) * shape.num_heads;
  pool.parallel_for(tasks, tasks_per_range(work, tasks), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const PackedQueries& block = blocks[static_cast<size_t>(task / shape.num_heads)];
      const PackedKeysValues& kv = *block.keys_values;
      const int64_t head = task % shape.num_heads;
      const int64_t column = head * shape.head_dim;
      const PackedLayout layout(kv.length, shape, kv.stored);
      const std::byte* packed = kv.data + static_cast<size_t>(head) * layout.head_bytes;
      kernels.attend_packed({.q = q.row(block.first_row) + column,
                             .out = out.row(block.first_row) + column,
                             .q_stride = q.stride,
                             .out_stride = out.stride,
                             .count = block.rows,
                             .keys = packed,
                             .values = packed + layout.values,
                             .length = kv.length,
                             .head_dim = shape.head_dim,
                             .scale = scale,
                             .stored = kv.stored,
                             .scratch = thread_scratch(kMaxQueryRows * round_up(kv.length, kMaxVectorWidth))});
    }
  });
}

void attend_cached(MatrixView<const float> q, std::span<const CachedSequence> sequences, AttentionShape shape,
                   StoredAs stored, float scale, MatrixView<float> out, ComputePool& pool, Isa isa) {
  check_invariant(is_attention(q, out, shape) && static_cast<size_t>(q.rows) == sequences.size(),
                  "queries have the heads' shape, and a sequence each");
  const RowwiseKernels& kernels = rowwise_kernels(isa);
  int64_t work = 0;
  for (const CachedSequence& sequence : sequences) work += 2 * sequence.length * q.cols;
  const int64_t tasks = q.rows * shape.num_heads;
  if (tasks == 0) return;
  pool.parallel_for(tasks, tasks_per_range(work, tasks), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      // Head by head: the sequences of a document mostly share their rows, which then are in the cache.
      const int64_t head = task / q.rows;
      const int64_t row = task % q.rows;
      const CachedSequence& sequence = sequences[static_cast<size_t>(row)];
      const int64_t column = head * shape.head_dim;
      const size_t offset = static_cast<size_t>(column) * size_of(stored);
      kernels.attend_cached({.q = q.row(row) + column,
                             .out = out.row(row) + column,
                             .keys = sequence.keys + offset,
                             .values = sequence.values + offset,
                             .stride = q.cols,
                             .rows = sequence.table,
                             .length = sequence.length,
                             .head_dim = shape.head_dim,
                             .scale = scale,
                             .stored = stored,
                             .scratch = thread_scratch(round_up(sequence.length, kMaxVectorWidth))});
    }
  });
}

void store_as(StoredAs stored, const float* x, int64_t n, std::byte* out, Isa isa) {
  if (stored == StoredAs::kFp32) {
    std::memcpy(out, x, static_cast<size_t>(n) * sizeof(float));
  } else {
    rowwise_kernels(isa).narrow_to_bf16(x, n, reinterpret_cast<uint16_t*>(out));
  }
}

}  // namespace remuda::kernels
