// A BART's weights in a GPU's memory.
#pragma once

#include <cstdint>
#include <vector>

#include "models/cuda/layer_weights.h"
#include "models/cuda_bart.h"

namespace remuda::models::cuda {

using remuda::cuda::HostBart;

// Throws StatusError(kInvalidArgument) that says which field is out of range.
void check_shape(const HostBart& host);

// Columns of logits: products ask for rows of a multiple of 16 bytes, and those of the ranking are read four at once.
// What is more than the vocabulary means nothing.
inline int64_t logits_columns(const HostBart& host) { return (int64_t{host.vocab_size} + 7) / 8 * 8; }

template <class Element>
struct BartSideWeights {
  Element* words;    // [logits_columns(), d_model]: behind the vocabulary's, rows of zeros
  float* positions;  // [max_positions, d_model]
  float* embedding_gamma;
  float* embedding_beta;
};

template <class Element>
struct BartDecoderLayerWeights {
  LayerWeights<Element> own;
  Element* cross_query;  // [d_model, d_model]
  Element* cross_query_bias;
  Element* cross_key_value;  // [2 * d_model, d_model]
  Element* cross_key_value_bias;
  Element* cross_output;  // [d_model, d_model]
  float* cross_output_bias;
  float* cross_gamma;
  float* cross_beta;
};

template <class Element>
struct BartWeights {
  BartSideWeights<Element> encoder, decoder;
  std::vector<LayerWeights<Element>> encoder_layers;
  std::vector<BartDecoderLayerWeights<Element>> decoder_layers;
  Element* output;     // [logits_columns(), d_model]. It and the words may be the same.
  float* output_bias;  // [logits_columns()]; or null where nothing is added.
};

// Lays the weights out; the pointers are those of `parts`.
template <class Element>
BartWeights<Element> lay_out(const HostBart& host, Parts& parts);

// Bytes of the memory through which upload() converts.
uint64_t staging_bytes(const HostBart& host);

// Copies the weights there, converted, by way of `staging` on the device. Returns when the stream has done it.
template <class Element>
void upload(const HostBart& host, const BartWeights<Element>& to, void* staging, cudaStream_t stream);

}  // namespace remuda::models::cuda
