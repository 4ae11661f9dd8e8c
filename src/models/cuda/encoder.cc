#include "models/cuda/encoder.h"

#include <algorithm>
#include <cmath>
#include <limits>
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
using remuda::cuda::Status;
using remuda::cuda::StatusError;
using remuda::cuda::Stream;

void refuse(const std::string& what) { throw StatusError(Status::kInvalidArgument, "encode: " + what); }

void check_ids(const int32_t* ids, int64_t count, int32_t end, const char* what) {
  for (int64_t i = 0; i < count; ++i) {
    if (ids[i] >= 0 && ids[i] < end) continue;
    refuse("expected " + std::string(what) + " from 0 to " + std::to_string(end - 1) + ", found " +
           std::to_string(ids[i]));
  }
}

// A bad batch would read anywhere in the GPU's memory.
void check_lengths(const HostEncoder& shape, const HostBatch& batch) {
  if (batch.sequences < 1 || batch.offsets[0] != 0) refuse("expected at least one sequence, from 0 on");
  for (int64_t s = 0; s < batch.sequences; ++s) {
    const int64_t length = batch.offsets[s + 1] - batch.offsets[s];
    if (length < 1 || length > shape.max_positions) {
      refuse("expected sequences of 1 to " + std::to_string(shape.max_positions) + " tokens, found one of " +
             std::to_string(length));
    }
  }
  if (batch.offsets[batch.sequences] > std::numeric_limits<int32_t>::max()) refuse("expected fewer than 2^31 tokens");
}

void check_batch(const HostEncoder& shape, const HostBatch& batch) {
  check_lengths(shape, batch);
  for (int64_t s = 0; s < batch.sequences; ++s) {
    if (batch.skipped != nullptr && batch.skipped[s] < 0) refuse("expected no less than 0 skipped tokens");
  }
  const int64_t tokens = batch.offsets[batch.sequences];
  check_ids(batch.ids, tokens, shape.vocab_size, "ids");
  check_ids(batch.position_ids, tokens, shape.max_positions, "positions");
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

// The products of a layer. All biases but the first's are added in float by what follows.
struct LayerShapes {
  ProductShape query_key_value, attention_output, intermediate, output;
};
template <class Element>
LayerShapes layer_shapes(const HostEncoder& host) {
  constexpr auto kType = kernels::cuda::element_type_of<Element>;
  const int64_t size = host.hidden_size;
  const int64_t inner = host.intermediate_size;
  return {{3 * size, size, kType, true},
          {size, size, kType, false},
          {inner, size, kType, false},
          {size, inner, kType, false}};
}

ProductShape dense_shape(const remuda::cuda::HostDense& dense) {
  return {dense.out_features, dense.in_features, kernels::cuda::ElementType::kFloat32, false};
}

template <class Element>
uint64_t trial_bytes(const HostEncoder& host) {
  const LayerShapes shapes = layer_shapes<Element>(host);
  uint64_t most = 0;
  for (const ProductShape& shape :
       {shapes.query_key_value, shapes.attention_output, shapes.intermediate, shapes.output}) {
    most = std::max(most, Product::trial_bytes(shape));
  }
  for (int32_t i = 0; i < host.num_dense; ++i) most = std::max(most, Product::trial_bytes(dense_shape(host.dense[i])));
  return most;
}

// Calls use(element) with an object of the type that the encoder computes with.
template <class Use>
auto with_element(NumberType type, Use use) {
  switch (type) {
    case NumberType::kFloat16:
      return use(kernels::cuda::Float16{});
    case NumberType::kBFloat16:
      return use(kernels::cuda::BFloat16{});
    case NumberType::kFloat32:
      break;
  }
  return use(0.0f);
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
    check_lengths(shape_, batch);
    Parts counted;
    lay_out_workspace<Element>(shape_, size_of(batch, tiles_of<Element>(shape_, batch)), counted);
    return counted.bytes();
  }

  void encode(const Stream& stream, void* workspace, const HostBatch& batch, float* vectors) const override {
    check_batch(shape_, batch);
    check_memory(workspace, "workspace");
    const std::vector<AttentionTile> tiles = tiles_of<Element>(shape_, batch);
    const BatchSize size = size_of(batch, tiles);
    const std::vector<std::byte> inputs = pack_inputs(batch, size, tiles);
    Parts parts(workspace);
    const Run run = {size, lay_out_workspace<Element>(shape_, size, parts), batch.skipped != nullptr, stream.stream};
    copy_to_device(workspace, inputs.data(), inputs.size(), stream.stream);
    embed(run);
    for (const LayerWeights<Element>& layer : weights_.layers) {
      attend(run, layer);
      feed_forward(run, layer);
    }
    const float* const found = pool_and_project(run);
    remuda::cuda::check(cudaMemcpyAsync(vectors, found, static_cast<size_t>(size.sequences) * dimension * sizeof(float),
                                        cudaMemcpyDeviceToHost, stream.stream),
                        "cudaMemcpyAsync");
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
    const LayerWeights<Element>& first = weights_.layers.front();
    const LayerShapes shapes = layer_shapes<Element>(shape_);
    const auto plan = [&](const ProductShape& shape, const Element* weights, const Element* bias) {
      return std::make_unique<Product>(shape, weights, bias, trial, stream);
    };
    query_key_value_ = plan(shapes.query_key_value, first.query_key_value, first.query_key_value_bias);
    attention_output_ = plan(shapes.attention_output, first.attention_output, nullptr);
    intermediate_ = plan(shapes.intermediate, first.intermediate, nullptr);
    output_ = plan(shapes.output, first.output, nullptr);
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
                                                             .y = run.at.hidden,
                                                             .rows = run.size.tokens,
                                                             .columns = shape_.hidden_size},
                         run.stream);
  }

  // hidden = layer_norm(product + bias + hidden)
  void add_and_normalize(const Run& run, const float* bias, const float* gamma, const float* beta) const {
    kernels::cuda::layer_norm(kernels::cuda::LayerNormParams<Element>{.x = run.at.product,
                                                                      .bias = bias,
                                                                      .residual = run.at.hidden,
                                                                      .norm = {gamma, beta, shape_.layer_norm_epsilon},
                                                                      .y = run.at.hidden,
                                                                      .rows = run.size.tokens,
                                                                      .columns = shape_.hidden_size},
                              run.stream);
  }

  void attend(const Run& run, const LayerWeights<Element>& layer) const {
    const int64_t size = shape_.hidden_size;
    const int head_dim = shape_.hidden_size / shape_.num_heads;
    query_key_value_->multiply(run.at.hidden, layer.query_key_value, layer.query_key_value_bias, run.at.query_key_value,
                               run.size.tokens, run.stream);
    kernels::cuda::attention(
        kernels::cuda::AttentionParams<Element>{.q = run.at.query_key_value,
                                                .k = run.at.query_key_value + size,
                                                .v = run.at.query_key_value + 2 * size,
                                                .q_stride = 3 * size,
                                                .kv_stride = 3 * size,
                                                .out = run.at.context,
                                                .out_stride = size,
                                                .tiles = run.at.inputs.tiles,
                                                .num_tiles = run.size.tiles,
                                                .num_heads = shape_.num_heads,
                                                .head_dim = head_dim,
                                                .scale = 1.0f / std::sqrt(static_cast<float>(head_dim)),
                                                .relative_bias = weights_.relative_bias,
                                                .max_distance = shape_.max_positions - 1},
        run.stream);
    attention_output_->multiply(run.at.context, layer.attention_output, nullptr, run.at.product, run.size.tokens,
                                run.stream);
    add_and_normalize(run, layer.attention_output_bias, layer.attention_gamma, layer.attention_beta);
  }

  void feed_forward(const Run& run, const LayerWeights<Element>& layer) const {
    intermediate_->multiply(run.at.hidden, layer.intermediate, nullptr, run.at.inner, run.size.tokens, run.stream);
    // Not fused into the product: cuBLASLt's GELU is the approximation by tanh, 5e-4 off.
    kernels::cuda::activate(
        kernels::cuda::ActivateParams<Element>{.x = run.at.inner,
                                               .bias = layer.intermediate_bias,
                                               .activation = static_cast<kernels::Activation>(shape_.activation),
                                               .rows = run.size.tokens,
                                               .columns = shape_.intermediate_size},
        run.stream);
    output_->multiply(run.at.inner, layer.output, nullptr, run.at.product, run.size.tokens, run.stream);
    add_and_normalize(run, layer.output_bias, layer.output_gamma, layer.output_beta);
  }

  const float* pool_and_project(const Run& run) const {
    const int64_t stride = int64_t{shape_.num_poolings} * shape_.hidden_size;
    for (size_t i = 0; i < poolings_.size(); ++i) {
      kernels::cuda::pool(
          kernels::cuda::PoolParams<Element>{.x = run.at.hidden,
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
  std::unique_ptr<Product> query_key_value_, attention_output_, intermediate_, output_;
  std::vector<Product> dense_products_;
};

}  // namespace

EncoderMemory encoder_bytes(const HostEncoder& host) {
  check_shape(host);
  return with_element(host.computed_as, [&](auto element) {
    using Element = decltype(element);
    Parts counted;
    lay_out<Element>(host, counted);
    // One after the other.
    return EncoderMemory{counted.bytes(), std::max(staging_bytes(host), trial_bytes<Element>(host))};
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
