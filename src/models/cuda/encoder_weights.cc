#include "models/cuda/encoder_weights.h"

#include <algorithm>
#include <string>
#include <type_traits>

#include "kernels/cuda/kernels.h"
#include "kernels/cuda/plain_attention_body.h"

namespace remuda::models::cuda {
namespace {

using remuda::cuda::HostMatrix;
using remuda::cuda::NumberType;
using remuda::cuda::Status;
using remuda::cuda::StatusError;

void expect(bool holds, const std::string& what) {
  if (!holds) throw StatusError(Status::kInvalidArgument, "encoder: expected " + what);
}

// Elements that are converted at once: few beside a model, and so many that the copies between them take the time.
constexpr int64_t kStagedElements = int64_t{1} << 22;

// Copies matrices of any type through a piece of the device's memory, in parts where they are larger.
class Uploader {
 public:
  // staging: kStagedElements floats, or as many as the largest matrix has.
  Uploader(void* staging, cudaStream_t stream) : staging_(staging), stream_(stream) {}

  void floats(const float* from, int64_t count, float* to) const {
    if (from == nullptr) return;
    copy_to_device(to, from, static_cast<uint64_t>(count) * sizeof(float), stream_);
  }

  template <class Element>
  void matrix(const HostMatrix& from, int64_t count, Element* to) const {
    switch (from.type) {
      case NumberType::kFloat32:
        return convert(static_cast<const float*>(from.data), count, to);
      case NumberType::kFloat16:
        return convert(static_cast<const kernels::cuda::Float16*>(from.data), count, to);
      case NumberType::kBFloat16:
        return convert(static_cast<const kernels::cuda::BFloat16*>(from.data), count, to);
    }
    throw StatusError(Status::kInvalidArgument, "encoder: a matrix of an unknown type");
  }

 private:
  // `from` may be at any address: it is only copied from.
  template <class From, class Element>
  void convert(const From* from, int64_t count, Element* to) const {
    if constexpr (std::is_same_v<From, Element>) {
      copy_to_device(to, from, static_cast<uint64_t>(count) * sizeof(From), stream_);
      return;
    }
    auto* const staging = static_cast<From*>(staging_);
    for (int64_t done = 0; done < count; done += kStagedElements) {
      const int64_t part = std::min(kStagedElements, count - done);
      copy_to_device(staging, from + done, static_cast<uint64_t>(part) * sizeof(From), stream_);
      kernels::cuda::convert(kernels::cuda::ConvertParams<From, Element>{staging, to + done, part}, stream_);
    }
  }

  void* staging_;
  cudaStream_t stream_;
};

template <class Element>
void upload_layer(const Uploader& uploader, const remuda::cuda::HostEncoderLayer& from, int64_t size, int64_t inner,
                  const LayerWeights<Element>& to) {
  uploader.matrix(from.query, size * size, to.query_key_value);
  uploader.matrix(from.key, size * size, to.query_key_value + size * size);
  uploader.matrix(from.value, size * size, to.query_key_value + 2 * size * size);
  uploader.matrix({from.query_bias, NumberType::kFloat32, 0}, size, to.query_key_value_bias);
  uploader.matrix({from.key_bias, NumberType::kFloat32, 0}, size, to.query_key_value_bias + size);
  uploader.matrix({from.value_bias, NumberType::kFloat32, 0}, size, to.query_key_value_bias + 2 * size);
  uploader.matrix(from.attention_output, size * size, to.attention_output);
  uploader.floats(from.attention_output_bias, size, to.attention_output_bias);
  uploader.floats(from.attention_gamma, size, to.attention_gamma);
  uploader.floats(from.attention_beta, size, to.attention_beta);
  uploader.matrix(from.intermediate, inner * size, to.intermediate);
  uploader.floats(from.intermediate_bias, inner, to.intermediate_bias);
  uploader.matrix(from.output, size * inner, to.output);
  uploader.floats(from.output_bias, size, to.output_bias);
  uploader.floats(from.output_gamma, size, to.output_gamma);
  uploader.floats(from.output_beta, size, to.output_beta);
}

template <class Element>
LayerWeights<Element> lay_out_layer(int64_t size, int64_t inner, Parts& parts) {
  LayerWeights<Element> layer;
  layer.query_key_value = parts.take<Element>(3 * size * size);
  layer.query_key_value_bias = parts.take<Element>(3 * size);
  layer.attention_output = parts.take<Element>(size * size);
  layer.attention_output_bias = parts.take<float>(size);
  layer.attention_gamma = parts.take<float>(size);
  layer.attention_beta = parts.take<float>(size);
  layer.intermediate = parts.take<Element>(inner * size);
  layer.intermediate_bias = parts.take<float>(inner);
  layer.output = parts.take<Element>(size * inner);
  layer.output_bias = parts.take<float>(size);
  layer.output_gamma = parts.take<float>(size);
  layer.output_beta = parts.take<float>(size);
  return layer;
}

int64_t relative_bias_floats(const HostEncoder& host) {
  return host.relative_bias == nullptr ? 0 : int64_t{host.num_heads} * (2 * int64_t{host.max_positions} - 1);
}

}  // namespace

void check_shape(const HostEncoder& host) {
  expect(host.vocab_size > 0 && host.max_positions > 0 && host.num_layers > 0, "a vocabulary, positions and layers");
  expect(host.hidden_size > 0 && host.hidden_size % 8 == 0 && host.hidden_size <= kernels::cuda::kMaxColumns,
         "a hidden size that is a multiple of 8, up to 4,096, found " + std::to_string(host.hidden_size));
  expect(host.intermediate_size > 0 && host.intermediate_size % 8 == 0,
         "an intermediate size that is a multiple of 8, found " + std::to_string(host.intermediate_size));
  expect(host.num_heads > 0 && host.hidden_size % host.num_heads == 0 &&
             host.hidden_size / host.num_heads <= kernels::cuda::kMaxPlainHeadDim,
         "heads of up to 256, found " + std::to_string(host.num_heads) + " in " + std::to_string(host.hidden_size));
  expect(host.computed_as >= NumberType::kFloat32 && host.computed_as <= NumberType::kBFloat16, "a known number type");
  expect(host.num_poolings > 0 && host.num_dense >= 0, "at least one way of pooling");
  int64_t size = int64_t{host.num_poolings} * host.hidden_size;
  for (int32_t i = 0; i < host.num_dense; ++i) {
    const remuda::cuda::HostDense& dense = host.dense[i];
    expect(dense.in_features == size, "dense layers that fit together");
    expect(dense.out_features > 0 && dense.out_features % 4 == 0,
           "a dense layer's size that is a multiple of 4, found " + std::to_string(dense.out_features));
    size = dense.out_features;
  }
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
  Parts counted;
  counted.take<float>(std::min(largest, kStagedElements));
  return counted.bytes();
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
    upload_layer(uploader, host.layers[i], size, host.intermediate_size, to.layers[static_cast<size_t>(i)]);
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
