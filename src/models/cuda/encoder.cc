#include "models/cuda/encoder.h"

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
using remuda::cuda::Pool;
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

// A bad one would read anywhere in the GPU's memory.
void check_batch(const HostEncoder& shape, const HostBatch& batch) {
  if (batch.sequences < 1 || batch.offsets[0] != 0) refuse("expected at least one sequence, from 0 on");
  for (int64_t s = 0; s < batch.sequences; ++s) {
    const int64_t length = batch.offsets[s + 1] - batch.offsets[s];
    if (length < 1 || length > shape.max_positions) {
      refuse("expected sequences of 1 to " + std::to_string(shape.max_positions) + " tokens, found one of " +
             std::to_string(length));
    }
    if (batch.skipped != nullptr && batch.skipped[s] < 0) refuse("expected no less than 0 skipped tokens");
  }
  const int64_t tokens = batch.offsets[batch.sequences];
  if (tokens > std::numeric_limits<int32_t>::max()) refuse("expected fewer than 2^31 tokens");
  check_ids(batch.ids, tokens, shape.vocab_size, "ids");
  check_ids(batch.position_ids, tokens, shape.max_positions, "positions");
}

template <class Element>
std::vector<AttentionTile> tiles_of(const HostEncoder& shape, const HostBatch& batch) {
  const std::span<const int64_t> offsets(batch.offsets, static_cast<size_t>(batch.sequences) + 1);
  return kernels::cuda::attention_tiles(
      offsets, kernels::cuda::attention_tile_queries<Element>(shape.hidden_size / shape.num_heads));
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
  TypedEncoder(const HostEncoder& host, const Pool& pool, const Stream& stream)
      : shape_(host),
        poolings_(host.poolings, host.poolings + host.num_poolings),
        dense_(host.dense, host.dense + host.num_dense) {
    // Of what these point to, nothing is kept but sizes.
    shape_.poolings = poolings_.data();
    shape_.dense = dense_.data();
    device = pool.device;
    Parts counted;
    lay_out<Element>(host, counted);
    memory_ = std::make_unique<PoolMemory>(pool, counted.bytes(), stream.stream);
    Parts parts(memory_->data());
    weights_ = lay_out<Element>(host, parts);
    upload(host, weights_, pool, stream.stream);
    plan_products(stream.stream);
    dimension = dense_.empty() ? host.num_poolings * host.hidden_size : dense_.back().out_features;
  }

  ~TypedEncoder() override { memory_->release_on(nullptr); }

  void encode(const Pool& pool, const Stream& stream, const HostBatch& batch, float* vectors) const override {
    check_batch(shape_, batch);
    const std::vector<AttentionTile> tiles = tiles_of<Element>(shape_, batch);
    const BatchSize size = {batch.offsets[batch.sequences], batch.sequences, static_cast<int64_t>(tiles.size())};
    const std::vector<std::byte> inputs = pack_inputs(batch, size, tiles);
    Parts counted;
    lay_out_workspace<Element>(shape_, size, counted);
    const PoolMemory memory(pool, counted.bytes(), stream.stream);
    Parts parts(memory.data());
    const Run run = {size, lay_out_workspace<Element>(shape_, size, parts), batch.skipped != nullptr, stream.stream};
    copy_to_device(memory.data(), inputs.data(), inputs.size(), stream.stream);
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

  static constexpr kernels::cuda::ElementType kType = kernels::cuda::element_type_of<Element>;

  void plan_products(cudaStream_t stream) {
    const int64_t size = shape_.hidden_size;
    const int64_t inner = shape_.intermediate_size;
    const LayerWeights<Element>& first = weights_.layers.front();
    query_key_value_ = std::make_unique<Product>(ProductShape{3 * size, size, kType, true}, first.query_key_value,
                                                 first.query_key_value_bias, stream);
    // The biases of these are added in float by what follows.
    attention_output_ =
        std::make_unique<Product>(ProductShape{size, size, kType, false}, first.attention_output, nullptr, stream);
    intermediate_ =
        std::make_unique<Product>(ProductShape{inner, size, kType, false}, first.intermediate, nullptr, stream);
    output_ = std::make_unique<Product>(ProductShape{size, inner, kType, false}, first.output, nullptr, stream);
    for (const DenseWeights& dense : weights_.dense) {
      const ProductShape shape = {dense.out_features, dense.in_features, kernels::cuda::ElementType::kFloat32, false};
      dense_products_.emplace_back(shape, dense.weight, nullptr, stream);
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
  std::unique_ptr<PoolMemory> memory_;
  EncoderWeights<Element> weights_;
  std::unique_ptr<Product> query_key_value_, attention_output_, intermediate_, output_;
  std::vector<Product> dense_products_;
};

}  // namespace

uint64_t encoder_bytes(const HostEncoder& host) {
  check_shape(host);
  return with_element(host.computed_as, [&](auto element) {
    Parts counted;
    lay_out<decltype(element)>(host, counted);
    return counted.bytes();
  });
}

uint64_t workspace_bytes(const HostEncoder& host, const HostBatch& batch) {
  check_shape(host);
  return with_element(host.computed_as, [&](auto element) {
    using Element = decltype(element);
    const BatchSize size = {batch.offsets[batch.sequences], batch.sequences,
                            static_cast<int64_t>(tiles_of<Element>(host, batch).size())};
    Parts counted;
    lay_out_workspace<Element>(host, size, counted);
    return counted.bytes();
  });
}

std::unique_ptr<remuda::cuda::Encoder> load_encoder(const HostEncoder& host, const Pool& pool, const Stream& stream) {
  check_shape(host);
  return with_element(host.computed_as, [&](auto element) -> std::unique_ptr<remuda::cuda::Encoder> {
    return std::make_unique<TypedEncoder<decltype(element)>>(host, pool, stream);
  });
}

}  // namespace remuda::models::cuda
