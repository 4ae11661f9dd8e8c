// The weights of transformer layers in a GPU's memory, and how weights get there.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <type_traits>

#include "kernels/cuda/kernels.h"
#include "models/cuda/arena.h"
#include "models/cuda_models.h"

namespace remuda::models::cuda {

// As those of cuda_shapes.h.
inline std::string number_type_problem(remuda::cuda::NumberType type) {
  const bool is_known = type >= remuda::cuda::NumberType::kFloat32 && type <= remuda::cuda::NumberType::kTf32;
  return is_known ? "" : "expected a known number type";
}

// A post-norm layer's: attention of a sequence to itself, and the inner layer.
template <class Element>
struct LayerWeights {
  Element* query_key_value;  // [3 * hidden_size, hidden_size]
  Element* query_key_value_bias;
  Element* attention_output;  // [hidden_size, hidden_size]
  float* attention_output_bias;
  float* attention_gamma;
  float* attention_beta;
  Element* intermediate;  // [inner_size, hidden_size]
  float* intermediate_bias;
  Element* output;  // [hidden_size, inner_size]
  float* output_bias;
  float* output_gamma;
  float* output_beta;
};

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

// Elements that are converted at once: few beside a model, and so many that the copies between them take the time.
inline constexpr int64_t kStagedElements = int64_t{1} << 22;

// Bytes of the memory through which an Uploader converts, of matrices of up to so many elements.
inline uint64_t staging_bytes_of(int64_t largest) {
  Parts counted;
  counted.take<float>(std::min(largest, kStagedElements));
  return counted.bytes();
}

// Copies matrices of any type through a piece of the device's memory, in parts where they are larger.
class Uploader {
 public:
  // staging: staging_bytes_of() the largest matrix.
  Uploader(void* staging, cudaStream_t stream) : staging_(staging), stream_(stream) {}

  void floats(const float* from, int64_t count, float* to) const {
    if (from == nullptr) return;
    copy_to_device(to, from, static_cast<uint64_t>(count) * sizeof(float), stream_);
  }

  template <class Element>
  void floats_as(const float* from, int64_t count, Element* to) const {
    convert(from, count, to);
  }

  template <class Element>
  void matrix(const remuda::cuda::HostMatrix& from, int64_t count, Element* to) const {
    switch (from.type) {
      case remuda::cuda::NumberType::kFloat32:
        return convert(static_cast<const float*>(from.data), count, to);
      case remuda::cuda::NumberType::kFloat16:
        return convert(static_cast<const kernels::cuda::Float16*>(from.data), count, to);
      case remuda::cuda::NumberType::kBFloat16:
        return convert(static_cast<const kernels::cuda::BFloat16*>(from.data), count, to);
      case remuda::cuda::NumberType::kTf32:
        break;
    }
    refuse("weights: a matrix of an unknown type");
  }

  template <class Element>
  void layer(const remuda::cuda::HostEncoderLayer& from, int64_t size, int64_t inner,
             const LayerWeights<Element>& to) const {
    matrix(from.query, size * size, to.query_key_value);
    matrix(from.key, size * size, to.query_key_value + size * size);
    matrix(from.value, size * size, to.query_key_value + 2 * size * size);
    floats_as(from.query_bias, size, to.query_key_value_bias);
    floats_as(from.key_bias, size, to.query_key_value_bias + size);
    floats_as(from.value_bias, size, to.query_key_value_bias + 2 * size);
    matrix(from.attention_output, size * size, to.attention_output);
    floats(from.attention_output_bias, size, to.attention_output_bias);
    floats(from.attention_gamma, size, to.attention_gamma);
    floats(from.attention_beta, size, to.attention_beta);
    matrix(from.intermediate, inner * size, to.intermediate);
    floats(from.intermediate_bias, inner, to.intermediate_bias);
    matrix(from.output, size * inner, to.output);
    floats(from.output_bias, size, to.output_bias);
    floats(from.output_gamma, size, to.output_gamma);
    floats(from.output_beta, size, to.output_beta);
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

}  // namespace remuda::models::cuda
