// Which kernel attends with heads of a size, on a GPU as on the processor in the tests. It depends on the size and the
// type of elements alone.
#pragma once

#include "kernels/cuda/plain_attention_body.h"

namespace remuda::kernels::cuda {

// Bodies, but for the machine.
template <class Element, int dim>
struct TensorCoreAttention {
  template <class Thread>
  using Body = AttentionBlockBody<Element, dim, Thread>;
};
template <class Element, int columns>
struct PlainAttention {
  template <class Thread>
  using Body = PlainAttentionBody<Element, columns, Thread>;
};

// Calls use(kind, launch), `kind` being one of these.
template <class Element, class Use>
void with_attention_kind(const AttentionParams<Element>& p, Use use) {
  if constexpr (sizeof(Element) == 2) {
    if (attends_on_tensor_cores(p.head_dim)) {
      const Launch launch = launch_of_attention(p.num_tiles, p.num_heads, p.head_dim);
      switch (padded_head_dim(p.head_dim)) {
        case 32:
          return use(TensorCoreAttention<Element, 32>(), launch);
        case 64:
          return use(TensorCoreAttention<Element, 64>(), launch);
        default:
          return use(TensorCoreAttention<Element, 128>(), launch);
      }
    }
  }
  const Launch launch = launch_of_plain_attention(p.num_tiles, p.num_heads, p.head_dim);
  if (p.head_dim <= 2 * kWarpSize) return use(PlainAttention<Element, 2>(), launch);
  use(PlainAttention<Element, 8>(), launch);
}

// How many queries a tile has for it.
template <class Element>
int attention_tile_queries(int64_t head_dim) {
  return sizeof(Element) == 2 && attends_on_tensor_cores(head_dim) ? kTileQueries : kPlainQueries;
}

}  // namespace remuda::kernels::cuda
