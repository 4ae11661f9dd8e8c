// Scaled dot-product attention over a ragged batch: sequences laid end to end, no padding.
#pragma once

#include <cstdint>
#include <span>

#include "device/compute_pool.h"
#include "kernels/cpu/rowwise.h"
#include "kernels/isa.h"
#include "tensor/tensor.h"

namespace remuda::kernels {

struct AttentionShape {
  int64_t num_heads = 0;
  int64_t head_dim = 0;
};

// out[t, h] = softmax(scale * q[t, h] . k[s, h] + bias(h, s - t)) v[s, h] over the tokens s of t's own
// sequence.
//
//   q, k, v, out   [tokens, num_heads * head_dim] each, strided (q, k, v are usually columns of one matrix)
//   offsets        [sequences + 1], rising; sequence i is the tokens [offsets[i], offsets[i + 1])
//   relative_bias  [num_heads, 2 * max_distance + 1], entry [h][s - t + max_distance], or data == nullptr;
//                  no sequence may be longer than max_distance + 1
//
//   multiplied_as  kBf16: what is multiplied (q, k, the softmax's weights, v) is rounded to bf16 first where the
//                  instruction set multiplies that faster, and not elsewhere; sums are floats
//
// Vaswani et al. 2017, equation 1. A token's result depends on its own sequence alone, bit for bit. `out` must not
// overlap the inputs. A NaN among a head's scores for a token makes all of that head's output for it NaN. Throws
// Error(kInvalidArgument) where shapes or offsets do not fit. Each thread keeps scratch memory for the longest sequence
// that it has met: about 2 * length * head_dim floats.
void attention(MatrixView<const float> q, MatrixView<const float> k, MatrixView<const float> v,
               std::span<const int64_t> offsets, AttentionShape shape, float scale,
               MatrixView<const float> relative_bias, StoredAs multiplied_as, MatrixView<float> out, ComputePool& pool,
               Isa isa = active_isa());

}  // namespace remuda::kernels
