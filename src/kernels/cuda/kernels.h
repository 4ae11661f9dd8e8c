// Launches of the GPU's kernels on a stream. Parameters are those of the bodies, with pointers to the device's memory;
// rows are dense and their length is a multiple of 8. All return at once and throw CudaError where a launch is refused;
// what a kernel does wrong is found at the stream's next synchronisation.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/attention_choice.h"
#include "kernels/cuda/decode_body.h"
#include "kernels/cuda/pooling_body.h"
#include "kernels/cuda/ranking_body.h"
#include "kernels/cuda/rowwise_body.h"

namespace remuda::kernels::cuda {

// The longest row that embed and layer_norm take.
inline constexpr int64_t kMaxColumns = columns_of_steps(kMaxRowSteps);

// Element: float, Float16 or BFloat16.
template <class Element>
void embed(const EmbedParams<Element>& params, cudaStream_t stream);
template <class Element>
void layer_norm(const LayerNormParams<Element>& params, cudaStream_t stream);
template <class Element>
void activate(const ActivateParams<Element>& params, cudaStream_t stream);
template <class Element>
void pool(const PoolParams<Element>& params, cudaStream_t stream);
void normalize(const NormalizeParams& params, cudaStream_t stream);
template <class From, class To>
void convert(const ConvertParams<From, To>& params, cudaStream_t stream);

// A tile of params.tiles has attention_tile_queries().
template <class Element>
void attention(const AttentionParams<Element>& params, cudaStream_t stream);

// Of a decoder's step.
template <class Element>
void cached_attention(const CachedAttentionParams<Element>& params, cudaStream_t stream);
void rank(const RankingParams& params, cudaStream_t stream);

}  // namespace remuda::kernels::cuda
