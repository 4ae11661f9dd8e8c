// An encoder's weights in a GPU's memory.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/cuda/rowwise_body.h"
#include "models/cuda/arena.h"
#include "models/cuda_models.h"

namespace remuda::models::cuda {

using remuda::cuda::HostEncoder;

// Throws StatusError(kInvalidArgument) that says which field is out of range.
void check_shape(const HostEncoder& host);

template <class Element>
struct LayerWeights {
  Element* query_key_value;  // [3 * hidden_size, hidden_size]
  Element* query_key_value_bias;
  Element* attention_output;  // [hidden_size, hidden_size]
  float* attention_output_bias;
  float* attention_gamma;
  float* attention_beta;
  Element* intermediate;  // [intermediate_size, hidden_size]
  float* intermediate_bias;
  Element* output;  // [hidden_size, intermediate_size]
  float* output_bias;
  float* output_gamma;
  float* output_beta;
};

struct DenseWeights {
  float* weight;
  float* bias;  // Or null.
  int32_t in_features;
  int32_t out_features;
  kernels::Activation activation;
};

template <class Element>
struct EncoderWeights {
  Element* words;
  float* positions;
  float* embedding_gamma;
  float* embedding_beta;
  float* relative_bias;  // Or null.
  std::vector<LayerWeights<Element>> layers;
  std::vector<DenseWeights> dense;
};

// Lays the weights out; the pointers are those of `parts`.
template <class Element>
EncoderWeights<Element> lay_out(const HostEncoder& host, Parts& parts);

// Bytes of the memory through which upload() converts.
uint64_t staging_bytes(const HostEncoder& host);

// Copies the weights there, converted, by way of `staging` on the device. Returns when the stream has done it.
template <class Element>
void upload(const HostEncoder& host, const EncoderWeights<Element>& to, void* staging, cudaStream_t stream);

}  // namespace remuda::models::cuda
