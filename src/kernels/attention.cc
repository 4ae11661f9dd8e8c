#include "kernels/attention.h"

#include <algorithm>

#include "base/fail.h"
#include "kernels/rowwise_dispatch.h"
#include "kernels/thread_scratch.h"

namespace remuda::kernels {
namespace {

// Multiply-adds in a range: a microsecond of work, several times what handing it over costs.
constexpr int64_t kWorkPerRange = 64 * 1024;

struct Operands {
  MatrixView<const float> q, k, v;
  std::span<const int64_t> offsets;
  AttentionShape shape;
  MatrixView<const float> relative_bias;
  MatrixView<float> out;
};

void check(const Operands& a) {
  const int64_t cols = a.shape.num_heads * a.shape.head_dim;
  const auto fits = [&](const auto& m) { return m.rows == a.q.rows && m.cols == cols; };
  if (a.shape.num_heads <= 0 || a.shape.head_dim <= 0 || !fits(a.q) || !fits(a.k) || !fits(a.v) || !fits(a.out)) {
    fail(ErrorCode::kInvalidArgument, "attention: expected four matrices [{}, {}] for {} heads of {}", a.q.rows, cols,
         a.shape.num_heads, a.shape.head_dim);
  }
  if (a.offsets.empty() || a.offsets.front() != 0 || a.offsets.back() != a.q.rows ||
      !std::is_sorted(a.offsets.begin(), a.offsets.end())) {
    fail(ErrorCode::kInvalidArgument, "attention: expected offsets that rise from 0 to {}", a.q.rows);
  }
  if (a.relative_bias.data == nullptr) return;
  const int64_t longest = (a.relative_bias.cols - 1) / 2 + 1;
  if (a.relative_bias.rows != a.shape.num_heads || a.relative_bias.cols % 2 == 0) {
    fail(ErrorCode::kInvalidArgument, "attention: expected a relative bias [{}, 2 n + 1], found [{}, {}]",
         a.shape.num_heads, a.relative_bias.rows, a.relative_bias.cols);
  }
  for (size_t i = 0; i + 1 < a.offsets.size(); ++i) {
    if (a.offsets[i + 1] - a.offsets[i] > longest) {
      fail(ErrorCode::kInvalidArgument, "attention: sequence {} has {} tokens, and the relative bias is for at most {}",
           i, a.offsets[i + 1] - a.offsets[i], longest);
    }
  }
}

// How many heads make a range: sequences differ, so this is by their mean.
int64_t heads_per_range(const Operands& a, int64_t heads) {
  int64_t work = 1;
  for (size_t i = 0; i + 1 < a.offsets.size(); ++i) {
    const int64_t length = a.offsets[i + 1] - a.offsets[i];
    work += 2 * length * (length + 8) * a.shape.head_dim * a.shape.num_heads;
  }
  const int64_t ranges = std::clamp<int64_t>(work / kWorkPerRange, 1, heads);
  return (heads + ranges - 1) / ranges;
}

using HeadKernel = void (*)(const AttentionHead& head);

HeadKernel head_kernel(Isa isa, StoredAs multiplied_as) {
#if defined(__x86_64__)
  if (multiplied_as == StoredAs::kBf16 && isa >= Isa::kAvx512Bf16) return attention_head_avx512_bf16;
#endif
  return rowwise_kernels(isa).attention_head;
}

}  // namespace

void attention(MatrixView<const float> q, MatrixView<const float> k, MatrixView<const float> v,
               std::span<const int64_t> offsets, AttentionShape shape, float scale,
               MatrixView<const float> relative_bias, StoredAs multiplied_as, MatrixView<float> out, ComputePool& pool,
               Isa isa) {
  const Operands a{q, k, v, offsets, shape, relative_bias, out};
  check(a);
  const HeadKernel attend_head = head_kernel(isa, multiplied_as);
  const int64_t tasks = static_cast<int64_t>(offsets.size() - 1) * shape.num_heads;
  if (tasks == 0) return;
  pool.parallel_for(tasks, heads_per_range(a, tasks), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const size_t sequence = static_cast<size_t>(task / shape.num_heads);
      const int64_t head = task % shape.num_heads;
      const int64_t first = offsets[sequence];
      const int64_t length = offsets[sequence + 1] - first;
      if (length == 0) continue;
      const int64_t column = head * shape.head_dim;
      attend_head({.q = q.row(first) + column,
                   .k = k.row(first) + column,
                   .v = v.row(first) + column,
                   .out = out.row(first) + column,
                   .q_stride = q.stride,
                   .k_stride = k.stride,
                   .v_stride = v.stride,
                   .out_stride = out.stride,
                   .length = length,
                   .head_dim = shape.head_dim,
                   .scale = scale,
                   .bias = relative_bias.data ? relative_bias.row(head) + (relative_bias.cols - 1) / 2 : nullptr,
                   .scratch = thread_scratch(attention_scratch_floats(length, shape.head_dim))});
    }
  });
}

}  // namespace remuda::kernels
