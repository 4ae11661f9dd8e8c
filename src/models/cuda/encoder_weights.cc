#include "models/cuda/encoder_weights.h"

#include <algorithm>
#include <string>

#include "kernels/cuda/kernels.h"
#include "kernels/cuda/plain_attention_body.h"
#include "models/cuda_shapes.h"

namespace remuda::models::cuda {
namespace {

int64_t relative_bias_floats(const HostEncoder& host) {
  return host.relative_bias == nullptr ? 0 : int64_t{host.num_heads} * (2 * int64_t{host.max_positions} - 1);
}

}  // namespace

void check_shape(const HostEncoder& host) {
  using namespace remuda::cuda;  // The problems.
  static_assert(kMaxModelSize == kernels::cuda::kMaxColumns && kMaxHeadSize == kernels::cuda::kMaxPlainHeadDim);
  const bool has_all = host.vocab_size > 0 && host.max_positions > 0 && host.num_layers > 0;
  const bool pools = host.num_poolings > 0 && host.num_dense >= 0;
  std::string problem =
      first_problem({has_all ? "" : "expected a vocabulary, positions and layers",
                     model_size_problem("hidden_size", host.hidden_size),
                     inner_size_problem("intermediate_size", host.intermediate_size),
                     heads_problem("num_heads", host.num_heads, host.hidden_size, kMaxHeadSize),
                     number_type_problem(host.computed_as), pools ? "" : "expected at least one way of pooling"});
  int64_t size = int64_t{host.num_poolings} * host.hidden_size;
  for (int32_t i = 0; problem.empty() && i < host.num_dense; ++i) {
    const HostDense& dense = host.dense[i];
    problem = first_problem({dense.in_features == size ? "" : "expected dense layers that fit together",
                             dense_size_problem("out_features", dense.out_features)});
    size = dense.out_features;
  }
  if (!problem.empty()) refuse("encoder: " + problem);
}

template <class Element>
EncoderWeights<Element> lay_out(const HostEncoder& host, Parts& parts) {
  const int64_t size = host.hidden_size;
  EncoderWeights<Element> weights = {};
  weights.words = parts.take<Element>(host.vocab_size * size);
  weights.positions = parts.take<float>(host.max_positions * size);
  weights.embedding_gamma = parts.take<float>(size);
  weights.embedding_beta = parts.take<float>(size);
  if (host.relative_bias != nullptr) weights.relative_bias = parts.take<float>(relative_bias_floats(host));
  for (int32_t i = 0; i < host.num_layers; ++i) {
    weights.layers.push_back(lay_out_layer<Element>(size, host.intermediate_size, parts));
  }
  for (int32_t i = 0; i < host.num_dense; ++i) {
    const remuda::cuda::HostDense& dense = host.dense[i];
    weights.dense.push_back({.weight = parts.take<float>(int64_t{dense.in_features} * dense.out_features),
                             .bias = dense.bias == nullptr ? nullptr : parts.take<float>(dense.out_features),
                             .in_features = dense.in_features,
                             .out_features = dense.out_features,
                             .activation = static_cast<kernels::Activation>(dense.activation)});
  }
  return weights;
}

uint64_t staging_bytes(const HostEncoder& host) {
  const int64_t size = host.hidden_size;
  int64_t largest = std::max({host.vocab_size * size, size * size, size * host.intermediate_size});
  for (int32_t i = 0; i < host.num_dense; ++i) {
    largest = std::max(largest, int64_t{host.dense[i].in_features} * host.dense[i].out_features);
  }
  return staging_bytes_of(largest);
}

template <class Element>
void upload(const HostEncoder& host, const EncoderWeights<Element>& to, void* staging, cudaStream_t stream) {
  const Uploader uploader(staging, stream);
  const int64_t size = host.hidden_size;
  uploader.matrix(host.words, host.vocab_size * size, to.words);
  uploader.floats(host.positions, host.max_positions * size, to.positions);
  uploader.floats(host.embedding_gamma, size, to.embedding_gamma);
  uploader.floats(host.embedding_beta, size, to.embedding_beta);
  uploader.floats(host.relative_bias, relative_bias_floats(host), to.relative_bias);
  for (int32_t i = 0; i < host.num_layers; ++i) {
    uploader.layer(host.layers[i], size, host.intermediate_size, to.layers[static_cast<size_t>(i)]);
  }
  for (int32_t i = 0; i < host.num_dense; ++i) {
    const DenseWeights& dense = to.dense[static_cast<size_t>(i)];
    uploader.matrix(host.dense[i].weight, int64_t{dense.in_features} * dense.out_features, dense.weight);
    uploader.floats(host.dense[i].bias, dense.out_features, dense.bias);
  }
  remuda::cuda::check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
}

#define REMUDA_INSTANTIATE(Element)                                              \
  template EncoderWeights<Element> lay_out<Element>(const HostEncoder&, Parts&); \
  template void upload(const HostEncoder&, const EncoderWeights<Element>&, void*, cudaStream_t)
REMUDA_INSTANTIATE(float);
REMUDA_INSTANTIATE(kernels::cuda::Float16);
REMUDA_INSTANTIATE(kernels::cuda::BFloat16);

}  // namespace remuda::models::cuda
