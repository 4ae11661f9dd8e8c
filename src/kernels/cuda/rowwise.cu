#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch.h"

namespace remuda::kernels::cuda {
namespace {

constexpr int kRowThreads = kRowWarps * kWarpSize;

template <int steps, class Element>
__global__ void __launch_bounds__(kRowThreads) embed_kernel(const __grid_constant__ EmbedParams<Element> params) {
  DeviceThread thread;
  embed_body<steps>(thread, params);
}

template <int steps, class Element>
__global__ void __launch_bounds__(kRowThreads)
    layer_norm_kernel(const __grid_constant__ LayerNormParams<Element> params) {
  DeviceThread thread;
  layer_norm_body<steps>(thread, params);
}

template <class Element>
__global__ void __launch_bounds__(kElementThreads)
    activate_kernel(const __grid_constant__ ActivateParams<Element> params) {
  DeviceThread thread;
  activate_body(thread, params);
}

template <class Element>
__global__ void __launch_bounds__(kPoolThreads) pool_kernel(const __grid_constant__ PoolParams<Element> params) {
  DeviceThread thread;
  pool_body(thread, params);
}

__global__ void __launch_bounds__(kRowThreads) normalize_kernel(const __grid_constant__ NormalizeParams params) {
  DeviceThread thread;
  normalize_body(thread, params);
}

template <class From, class To>
__global__ void __launch_bounds__(kElementThreads)
    convert_kernel(const __grid_constant__ ConvertParams<From, To> params) {
  DeviceThread thread;
  convert_body(thread, params);
}

void check_columns(int columns, const char* what) {
  if (columns % kRowVector == 0 && columns <= kMaxColumns) return;
  throw remuda::cuda::CudaError(cudaErrorInvalidValue, what);
}

}  // namespace

template <class Element>
void embed(const EmbedParams<Element>& params, cudaStream_t stream) {
  check_columns(params.columns, "embed");
  with_steps(params.columns, [&](auto steps) {
    launch(embed_kernel<decltype(steps)::value, Element>, launch_of_rows(params.rows), params, stream, "embed");
  });
}

template <class Element>
void layer_norm(const LayerNormParams<Element>& params, cudaStream_t stream) {
  check_columns(params.columns, "layer_norm");
  with_steps(params.columns, [&](auto steps) {
    launch(layer_norm_kernel<decltype(steps)::value, Element>, launch_of_rows(params.rows), params, stream,
           "layer_norm");
  });
}

template <class Element>
void activate(const ActivateParams<Element>& params, cudaStream_t stream) {
  constexpr int kWidth = activate_vector<Element>;
  if (params.columns % kWidth != 0) throw remuda::cuda::CudaError(cudaErrorInvalidValue, "activate");
  launch(activate_kernel<Element>, launch_of_vectors(params.rows * (params.columns / kWidth)), params, stream,
         "activate");
}

template <class Element>
void pool(const PoolParams<Element>& params, cudaStream_t stream) {
  launch(pool_kernel<Element>, launch_of_pool(params.sequences, params.columns), params, stream, "pool");
}

void normalize(const NormalizeParams& params, cudaStream_t stream) {
  launch(normalize_kernel, launch_of_rows(params.rows), params, stream, "normalize");
}

template <class From, class To>
void convert(const ConvertParams<From, To>& params, cudaStream_t stream) {
  launch(convert_kernel<From, To>, launch_of_vectors(params.count), params, stream, "convert");
}

#define REMUDA_INSTANTIATE(Element)                                            \
  template void embed(const EmbedParams<Element>&, cudaStream_t);              \
  template void layer_norm(const LayerNormParams<Element>&, cudaStream_t);     \
  template void activate(const ActivateParams<Element>&, cudaStream_t);        \
  template void pool(const PoolParams<Element>&, cudaStream_t);                \
  template void convert(const ConvertParams<float, Element>&, cudaStream_t);   \
  template void convert(const ConvertParams<Float16, Element>&, cudaStream_t); \
  template void convert(const ConvertParams<BFloat16, Element>&, cudaStream_t)
REMUDA_INSTANTIATE(float);
REMUDA_INSTANTIATE(Float16);
REMUDA_INSTANTIATE(BFloat16);

}  // namespace remuda::kernels::cuda
