#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/plain_attention_body.h"

namespace remuda::kernels::cuda {
namespace {

template <class Element, int dim>
__global__ void __launch_bounds__(kAttentionThreads)
    attention_kernel(const __grid_constant__ AttentionParams<Element> params) {
  DeviceThread thread;
  AttentionBlockBody<Element, dim, DeviceThread>(thread, params).run();
}

template <class Element, int columns>
__global__ void __launch_bounds__(kAttentionThreads)
    plain_attention_kernel(const __grid_constant__ AttentionParams<Element> params) {
  DeviceThread thread;
  PlainAttentionBody<Element, columns, DeviceThread>(thread, params).run();
}

template <class Element>
constexpr bool has_tensor_cores = sizeof(Element) == 2;

template <class Element>
void attention_on_tensor_cores(const AttentionParams<Element>& p, cudaStream_t stream) {
  const Launch shape = launch_of_attention(p.num_tiles, p.num_heads, p.head_dim);
  switch (padded_head_dim(p.head_dim)) {
    case 32:
      return launch(attention_kernel<Element, 32>, shape, p, stream, "attention");
    case 64:
      return launch(attention_kernel<Element, 64>, shape, p, stream, "attention");
    default:
      return launch(attention_kernel<Element, 128>, shape, p, stream, "attention");
  }
}

template <class Element>
void plain_attention(const AttentionParams<Element>& p, cudaStream_t stream) {
  const Launch shape = launch_of_plain_attention(p.num_tiles, p.num_heads, p.head_dim);
  if (p.head_dim <= 2 * kWarpSize) return launch(plain_attention_kernel<Element, 2>, shape, p, stream, "attention");
  if (p.head_dim <= kMaxPlainHeadDim) return launch(plain_attention_kernel<Element, 8>, shape, p, stream, "attention");
  throw remuda::cuda::CudaError(cudaErrorInvalidValue, "attention: heads of more than 256 elements");
}

}  // namespace

template <class Element>
int attention_tile_queries(int64_t head_dim) {
  return has_tensor_cores<Element> && attends_on_tensor_cores(head_dim) ? kTileQueries : kPlainQueries;
}

template <class Element>
void attention(const AttentionParams<Element>& params, cudaStream_t stream) {
  if constexpr (has_tensor_cores<Element>) {
    if (attends_on_tensor_cores(params.head_dim)) return attention_on_tensor_cores(params, stream);
  }
  plain_attention(params, stream);
}

#define REMUDA_INSTANTIATE(Element)                      \
  template int attention_tile_queries<Element>(int64_t); \
  template void attention(const AttentionParams<Element>&, cudaStream_t)
REMUDA_INSTANTIATE(float);
REMUDA_INSTANTIATE(Float16);
REMUDA_INSTANTIATE(BFloat16);

}  // namespace remuda::kernels::cuda
