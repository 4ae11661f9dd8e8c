#include "kernels/cuda/attention_choice.h"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch.h"

namespace remuda::kernels::cuda {
namespace {

template <class Kind, class Element>
__global__ void __launch_bounds__(kAttentionThreads)
    attention_kernel(const __grid_constant__ AttentionParams<Element> params) {
  DeviceThread thread;
  typename Kind::template Body<DeviceThread>(thread, params).run();
}

}  // namespace

template <class Element>
void attention(const AttentionParams<Element>& params, cudaStream_t stream) {
  if (params.head_dim > kMaxPlainHeadDim) {
    throw remuda::cuda::CudaError(cudaErrorInvalidValue, "attention: heads of more than 256 elements");
  }
  with_attention_kind(params, [&](auto kind, const Launch& shape) {
    launch(attention_kernel<decltype(kind), Element>, shape, params, stream, "attention");
  });
}

template void attention(const AttentionParams<float>&, cudaStream_t);
template void attention(const AttentionParams<Float16>&, cudaStream_t);
template void attention(const AttentionParams<BFloat16>&, cudaStream_t);

}  // namespace remuda::kernels::cuda
