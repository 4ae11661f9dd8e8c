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

__global__ void __launch_bounds__(kRankingThreads) rank_kernel(const __grid_constant__ RankingParams params) {
  DeviceThread thread;
  RankingBody<DeviceThread>(thread, params).run();
}

}  // namespace

template <class Element>
void cached_attention(const CachedAttentionParams<Element>& params, cudaStream_t stream) {
  if (params.head_dim > kMaxCachedHeadDim) throw remuda::cuda::CudaError(cudaErrorInvalidValue, "cached_attention");
  launch(cached_attention_kernel<Element>, launch_of_cached_attention(params.count, params.num_heads), params, stream,
         "cached_attention");
}

void rank(const RankingParams& params, cudaStream_t stream) {
  if (params.k < 1 || params.k > params.vocabulary || params.logits_stride % kRowVector != 0) {
    throw remuda::cuda::CudaError(cudaErrorInvalidValue, "rank");
  }
  launch(rank_kernel, launch_of_ranking(params.rows, params.vocabulary), params, stream, "rank");
}

template void cached_attention(const CachedAttentionParams<float>&, cudaStream_t);
template void cached_attention(const CachedAttentionParams<Float16>&, cudaStream_t);
template void cached_attention(const CachedAttentionParams<BFloat16>&, cudaStream_t);

}  // namespace remuda::kernels::cuda
