#include "models/cuda/encoder.h"

#include <algorithm>
#include <string>

#include "kernels/cuda/kernels.h"
#include "kernels/cuda/products.h"
#include "models/cuda/encoder_batch.h"
#include "models/cuda/encoder_weights.h"

namespace remuda::models::cuda {
namespace {

using kernels::cuda::AttentionTile;
using kernels::cuda::Product;
using kernels::cuda::ProductShape;
using remuda::cuda::NumberType;
using remuda::cuda::PoolingKind;
using remuda::cuda::Stream;

// A bad batch would read anywhere in the GPU's memory.
void check_batch(const HostEncoder& shape, const HostBatch& batch) {
  check_lengths(batch.offsets, batch.sequences, shape.max_positions, "sequence");
  for (int64_t s = 0; s < batch.sequences; ++s) {
    if (batch.skipped != nullptr && batch.skipped[s] < 0) refuse("encode: expected no less than 0 skipped tokens");
  }
  const int64_t tokens = batch.offsets[batch.sequences];
  check_ids(batch.ids, tokens, shape.vocab_size, "encode: expected ids");
  check_ids(batch.position_ids, tokens, shape.max_positions, "encode: expected positions");
}

template <class Element>
std::vector<AttentionTile> tiles_of(const HostEncoder& shape, const HostBatch& batch) {
  const std::span<const int64_t> offsets(batch.offsets, static_cast<size_t>(batch.sequences) + 1);
  return kernels::cuda::attention_tiles(
      offsets, kernels::cuda::attention_tile_queries<Element>(shape.hidden_size / shape.num_heads));
}

BatchSize size_of(const HostBatch& batch, const std::vector<AttentionTile>& tiles) {
  return {batch.offsets[batch.sequences], batch.sequences, static_cast<int64_t>(tiles.size())};
}

LayerShape layer_shape(const HostEncoder& host) {
  return {.hidden_size = host.hidden_size,
          .inner_size = host.intermediate_size,
          .num_heads = host.num_heads,
          .epsilon = host.layer_norm_epsilon,
          .activation = static_cast<kernels::Activation>(host.activation),
          .uses_tf32 = host.computed_as == NumberType::kTf32};
}

ProductShape dense_shape(const remuda::cuda::HostDense& dense) {
  return {.out_features = dense.out_features, .in_features = dense.in_features};
}

template <class Element>
uint64_t trial_bytes(const HostEncoder& host) {
  uint64_t most = Layers<Element>::trial_bytes(layer_shape(host));
  for (int32_t i = 0; i < host.num_dense; ++i) most = std::max(most, Product::trial_bytes(dense_shape(host.dense[i])));
  return most;
}

template <class Element>
class TypedEncoder : public remuda::cuda::Encoder {
 public:
  TypedEncoder(const Stream& stream, const HostEncoder& host, void* weights, void* loading)
      : shape_(host),
        poolings_(host.poolings, host.poolings + host.num_poolings),
        dense_(host.dense, host.dense + host.num_dense) {
    check_memory(weights, "weights");
    check_memory(loading, "loading");
    // Of what these point to, nothing is kept but sizes.
    shape_.poolings = poolings_.data();
    shape_.dense = dense_.data();
    device = stream.device;
    Parts parts(weights);
    weights_ = lay_out<Element>(host, parts);
    upload(host, weights_, loading, stream.stream);
    plan_products(loading, stream.stream);
    dimension = dense_.empty() ? host.num_poolings * host.hidden_size : dense_.back().out_features;
  }

  uint64_t workspace_bytes(const HostBatch& batch) const override {
    check_lengths(batch.offsets, batch.sequences, shape_.max_positions, "sequence");
    Parts counted;
    lay_out_workspace<Element>(shape_, layer_shape(shape_), size_of(batch, tiles_of<Element>(shape_, batch)), nullptr,
                               counted);
    return counted.bytes();
  }

  void encode(const Stream& stream, void* workspace, const HostBatch& batch, float* vectors) const override {
    check_batch(shape_, batch);
    check_memory(workspace, "workspace");
    const std::vector<AttentionTile> tiles = tiles_of<Element>(shape_, batch);
    const BatchSize size = size_of(batch, tiles);
    const std::vector<std::byte> inputs = pack_inputs(batch, size, tiles);
    Parts parts(workspace);
    const Run run = {size, lay_out_workspace<Element>(shape_, layer_shape(shape_), size, stream.stream, parts),
                     batch.skipped != nullptr, stream.stream};
    copy_to_device(workspace, inputs.data(), inputs.size(), stream.stream);
    embed(run);
    for (const LayerWeights<Element>& layer : weights_.layers) {
      attend(run, layer);
      layers_->feed_forward(run.at.rows, layer);
    }
    const float* const found = pool_and_project(run);
    copy_to_host(vectors, found, static_cast<uint64_t>(size.sequences) * dimension * sizeof(float), stream.stream);
    remuda::cuda::check(cudaStreamSynchronize(stream.stream), "encode");
  }

 private:
  struct Run {
    BatchSize size;
    BatchWorkspace<Element> at;
    bool skips;
    cudaStream_t stream;
  };

  void plan_products(void* trial, cudaStream_t stream) {
    layers_ = std::make_unique<Layers<Element>>(layer_shape(shape_), weights_.layers.front(), trial, stream);
    for (size_t i = 0; i < dense_.size(); ++i) {
      dense_products_.emplace_back(dense_shape(dense_[i]), weights_.dense[i].weight, nullptr, trial, stream);
    }
  }

  void embed(const Run& run) const {
    kernels::cuda::embed(kernels::cuda::EmbedParams<Element>{.ids = run.at.inputs.ids,
                                                             .position_ids = run.at.inputs.position_ids,
                                                             .words = weights_.words,
                                                             .positions = weights_.positions,
                                                             .norm = {weights_.embedding_gamma, weights_.embedding_beta,
                                                                      shape_.layer_norm_epsilon},
                                                             .y = run.at.rows.hidden,
                                                             .rows = run.size.tokens,
                                                             .columns = shape_.hidden_size},
                         run.stream);
  }

  void attend(const Run& run, const LayerWeights<Element>& layer) const {
    layers_->project(run.at.rows, layer);
    kernels::cuda::AttentionParams<Element> params =
        layers_->self_attention(run.at.rows, run.at.inputs.tiles, run.size.tiles);
    params.relative_bias = weights_.relative_bias;
    params.max_distance = shape_.max_positions - 1;
    kernels::cuda::attention(params, run.stream);
    layers_->add_attention(run.at.rows, layer);
  }

  const float* pool_and_project(const Run& run) const {
    const int64_t stride = int64_t{shape_.num_poolings} * shape_.hidden_size;
    for (size_t i = 0; i < poolings_.size(); ++i) {
      kernels::cuda::pool(
          kernels::cuda::PoolParams<Element>{.x = run.at.rows.hidden,
                                             .offsets = run.at.inputs.offsets,
                                             .skipped = run.skips ? run.at.inputs.skipped : nullptr,
                                             .mode = static_cast<kernels::cuda::PoolingMode>(poolings_[i]),
                                             .out = run.at.dense.front() + static_cast<int64_t>(i) * shape_.hidden_size,
                                             .out_stride = stride,
                                             .sequences = run.size.sequences,
                                             .columns = shape_.hidden_size},
          run.stream);
    }
    for (size_t i = 0; i < dense_products_.size(); ++i) {
      const DenseWeights& dense = weights_.dense[i];
      float* const y = run.at.dense[i + 1];
      dense_products_[i].multiply(run.at.dense[i], dense.weight, nullptr, y, run.size.sequences, run.stream);
      kernels::cuda::activate(kernels::cuda::ActivateParams<float>{.x = y,
                                                                   .bias = dense.bias,
                                                                   .activation = dense.activation,
                                                                   .rows = run.size.sequences,
                                                                   .columns = dense.out_features},
                              run.stream);
    }
    float* const found = run.at.dense.back();
    if (shape_.normalizes != 0) {
      kernels::cuda::normalize({.x = found, .rows = run.size.sequences, .columns = dimension}, run.stream);
    }
    return found;
  }

  HostEncoder shape_;
  std::vector<PoolingKind> poolings_;
  std::vector<remuda::cuda::HostDense> dense_;
  EncoderWeights<Element> weights_;
  std::unique_ptr<const Layers<Element>> layers_;
  std::vector<Product> dense_products_;
};

}  // namespace

ModelBytes encoder_bytes(const HostEncoder& host) {
  check_shape(host);
  return with_element(host.computed_as, [&](auto element) {
    using Element = decltype(element);
    Parts counted;
    lay_out<Element>(host, counted);
    // One after the other.
    return ModelBytes{counted.bytes(), std::max(staging_bytes(host), trial_bytes<Element>(host))};
  });
}

std::unique_ptr<remuda::cuda::Encoder> load_encoder(const Stream& stream, const HostEncoder& host, void* weights,
                                                    void* loading) {
  check_shape(host);
  return with_element(host.computed_as, [&](auto element) -> std::unique_ptr<remuda::cuda::Encoder> {
    return std::make_unique<TypedEncoder<decltype(element)>>(stream, host, weights, loading);
  });
}

}  // namespace remuda::models::cuda
