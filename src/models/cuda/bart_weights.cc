#include "models/cuda/bart_weights.h"

#include <algorithm>
#include <string>

#include "kernels/cuda/kernels.h"
#include "kernels/cuda/plain_attention_body.h"
#include "models/cuda_shapes.h"

namespace remuda::models::cuda {
namespace {

using remuda::cuda::HostBartDecoderLayer;
using remuda::cuda::HostBartSide;
using remuda::cuda::HostMatrix;

std::string side_problem(const HostBart& host, const HostBartSide& side, int64_t max_head_size,
                         const std::string& name) {
  using namespace remuda::cuda;  // The problems.
  return first_problem({side.num_layers > 0 ? "" : "expected layers in the " + name,
                        inner_size_problem(name + " inner_size", side.inner_size),
                        heads_problem(name + " num_heads", side.num_heads, host.d_model, max_head_size)});
}

template <class Element>
BartSideWeights<Element> lay_out_side(const HostBart& host, Element* words, Parts& parts) {
  const int64_t size = host.d_model;
  return {.words = words,
          .positions = parts.take<float>(host.max_positions * size),
          .embedding_gamma = parts.take<float>(size),
          .embedding_beta = parts.take<float>(size)};
}

template <class Element>
BartDecoderLayerWeights<Element> lay_out_decoder_layer(int64_t size, int64_t inner, Parts& parts) {
  BartDecoderLayerWeights<Element> layer;
  layer.own = lay_out_layer<Element>(size, inner, parts);
  layer.cross_query = parts.take<Element>(size * size);
  layer.cross_query_bias = parts.take<Element>(size);
  layer.cross_key_value = parts.take<Element>(2 * size * size);
  layer.cross_key_value_bias = parts.take<Element>(2 * size);
  layer.cross_output = parts.take<Element>(size * size);
  layer.cross_output_bias = parts.take<float>(size);
  layer.cross_gamma = parts.take<float>(size);
  layer.cross_beta = parts.take<float>(size);
  return layer;
}

template <class Element>
void upload_decoder_layer(const Uploader& uploader, const HostBartDecoderLayer& from, int64_t size, int64_t inner,
                          const BartDecoderLayerWeights<Element>& to) {
  uploader.layer(from.own, size, inner, to.own);
  uploader.matrix(from.cross_query, size * size, to.cross_query);
  uploader.floats_as(from.cross_query_bias, size, to.cross_query_bias);
  uploader.matrix(from.cross_key, size * size, to.cross_key_value);
  uploader.matrix(from.cross_value, size * size, to.cross_key_value + size * size);
  uploader.floats_as(from.cross_key_bias, size, to.cross_key_value_bias);
  uploader.floats_as(from.cross_value_bias, size, to.cross_key_value_bias + size);
  uploader.matrix(from.cross_output, size * size, to.cross_output);
  uploader.floats(from.cross_output_bias, size, to.cross_output_bias);
  uploader.floats(from.cross_gamma, size, to.cross_gamma);
  uploader.floats(from.cross_beta, size, to.cross_beta);
}

template <class Element>
void upload_side(const Uploader& uploader, const HostBart& host, const HostBartSide& from,
                 const BartSideWeights<Element>& to) {
  uploader.floats(from.positions, int64_t{host.max_positions} * host.d_model, to.positions);
  uploader.floats(from.embedding_gamma, host.d_model, to.embedding_gamma);
  uploader.floats(from.embedding_beta, host.d_model, to.embedding_beta);
}

template <class Element>
void upload_words(const Uploader& uploader, const HostBart& host, const HostMatrix& from, Element* to) {
  const int64_t elements = int64_t{host.vocab_size} * host.d_model;
  uploader.matrix(from, elements, to);
  const std::vector<float> zeros(static_cast<size_t>(logits_columns(host) * host.d_model - elements), 0.0f);
  uploader.floats_as(zeros.data(), static_cast<int64_t>(zeros.size()), to + elements);
}

// Most checkpoints have zeros for it.
bool adds_output_bias(const HostBart& host) {
  return host.output_bias != nullptr &&
         std::any_of(host.output_bias, host.output_bias + host.vocab_size, [](float x) { return x != 0.0f; });
}

}  // namespace

void check_shape(const HostBart& host) {
  using namespace remuda::cuda;  // The problems.
  static_assert(kMaxModelSize == kernels::cuda::kMaxColumns && kMaxHeadSize == kernels::cuda::kMaxPlainHeadDim &&
                kMaxDecoderHeadSize == kernels::cuda::kMaxCachedHeadDim);
  const std::string problem =
      first_problem({host.max_positions > 0 ? "" : "expected positions",
                     vocabulary_problem("vocab_size", host.vocab_size), model_size_problem("d_model", host.d_model),
                     number_type_problem(host.computed_as), side_problem(host, host.encoder, kMaxHeadSize, "encoder"),
                     side_problem(host, host.decoder, kMaxDecoderHeadSize, "decoder")});
  if (!problem.empty()) refuse("BART: " + problem);
}

template <class Element>
BartWeights<Element> lay_out(const HostBart& host, Parts& parts) {
  const int64_t size = host.d_model;
  const auto words = [&] { return parts.take<Element>(logits_columns(host) * size); };
  BartWeights<Element> weights = {};
  weights.output = words();
  Element* const encoder_words = host.encoder.words.data == host.output.data ? weights.output : words();
  Element* const decoder_words = host.decoder.words.data == host.output.data          ? weights.output
                                 : host.decoder.words.data == host.encoder.words.data ? encoder_words
                                                                                      : words();
  if (adds_output_bias(host)) weights.output_bias = parts.take<float>(logits_columns(host));
  weights.encoder = lay_out_side(host, encoder_words, parts);
  weights.decoder = lay_out_side(host, decoder_words, parts);
  for (int32_t i = 0; i < host.encoder.num_layers; ++i) {
    weights.encoder_layers.push_back(lay_out_layer<Element>(size, host.encoder.inner_size, parts));
  }
  for (int32_t i = 0; i < host.decoder.num_layers; ++i) {
    weights.decoder_layers.push_back(lay_out_decoder_layer<Element>(size, host.decoder.inner_size, parts));
  }
  return weights;
}

uint64_t staging_bytes(const HostBart& host) {
  const int64_t rows = std::max({int64_t{host.vocab_size}, int64_t{host.d_model}, int64_t{host.encoder.inner_size},
                                 int64_t{host.decoder.inner_size}});
  return staging_bytes_of(rows * host.d_model);
}

template <class Element>
void upload(const HostBart& host, const BartWeights<Element>& to, void* staging, cudaStream_t stream) {
  const Uploader uploader(staging, stream);
  const int64_t size = host.d_model;
  upload_words(uploader, host, host.output, to.output);
  if (to.encoder.words != to.output) upload_words(uploader, host, host.encoder.words, to.encoder.words);
  if (to.decoder.words != to.output && to.decoder.words != to.encoder.words) {
    upload_words(uploader, host, host.decoder.words, to.decoder.words);
  }
  if (to.output_bias != nullptr) {
    std::vector<float> bias(static_cast<size_t>(logits_columns(host)), 0.0f);
    std::copy_n(host.output_bias, host.vocab_size, bias.begin());
    uploader.floats(bias.data(), static_cast<int64_t>(bias.size()), to.output_bias);
  }
  upload_side(uploader, host, host.encoder, to.encoder);
  upload_side(uploader, host, host.decoder, to.decoder);
  for (int32_t i = 0; i < host.encoder.num_layers; ++i) {
    uploader.layer(host.encoder_layers[i], size, host.encoder.inner_size, to.encoder_layers[static_cast<size_t>(i)]);
  }
  for (int32_t i = 0; i < host.decoder.num_layers; ++i) {
    upload_decoder_layer(uploader, host.decoder_layers[i], size, host.decoder.inner_size,
                         to.decoder_layers[static_cast<size_t>(i)]);
  }
  remuda::cuda::check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
}

#define REMUDA_INSTANTIATE(Element)                                        \
  template BartWeights<Element> lay_out<Element>(const HostBart&, Parts&); \
  template void upload(const HostBart&, const BartWeights<Element>&, void*, cudaStream_t)
REMUDA_INSTANTIATE(float);
REMUDA_INSTANTIATE(kernels::cuda::Float16);
REMUDA_INSTANTIATE(kernels::cuda::BFloat16);

}  // namespace remuda::models::cuda
