#include "kernels/cuda/decode_body.h"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch.h"

namespace remuda::kernels::cuda {
namespace {

template <class Element>
__global__ void __launch_bounds__(kRowWarps* kWarpSize)
    cached_attention_kernel(const __grid_constant__ CachedAttentionParams<Element> params) {
  DeviceThread thread;
  CachedAttentionBody<Element, DeviceThread>(thread, params).run();
}

__global__ void __launch_bounds__(kTopThreads) top_tokens_kernel(const __grid_constant__ TopTokensParams params) {
  DeviceThread thread;
  TopTokensBody<DeviceThread>(thread, params).run();
}

}  // namespace

template <class Element>
void cached_attention(const CachedAttentionParams<Element>& params, cudaStream_t stream) {
  if (params.head_dim > kMaxCachedHeadDim) throw remuda::cuda::CudaError(cudaErrorInvalidValue, "cached_attention");
  launch(cached_attention_kernel<Element>, launch_of_cached_attention(params.sequences, params.num_heads), params,
         stream, "cached_attention");
}

void top_tokens(const TopTokensParams& params, cudaStream_t stream) {
  if (params.k < 1 || params.k > params.vocabulary) {
    throw remuda::cuda::CudaError(cudaErrorInvalidValue, "top_tokens");
  }
  launch(top_tokens_kernel, launch_of_top_tokens(params.rows), params, stream, "top_tokens");
}

template void cached_attention(const CachedAttentionParams<float>&, cudaStream_t);
template void cached_attention(const CachedAttentionParams<Float16>&, cudaStream_t);
template void cached_attention(const CachedAttentionParams<BFloat16>&, cudaStream_t);

}  // namespace remuda::kernels::cuda
