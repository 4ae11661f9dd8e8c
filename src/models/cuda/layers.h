// Passes of rows through post-norm transformer layers on a GPU.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>

#include "kernels/cuda/kernels.h"
#include "kernels/cuda/products.h"
#include "models/cuda/layer_weights.h"

namespace remuda::models::cuda {

// Calls use(element) with an object of the type that a model computes with.
template <class Use>
auto with_element(remuda::cuda::NumberType type, Use use) {
  switch (type) {
    case remuda::cuda::NumberType::kFloat16:
      return use(kernels::cuda::Float16{});
    case remuda::cuda::NumberType::kBFloat16:
      return use(kernels::cuda::BFloat16{});
    case remuda::cuda::NumberType::kFloat32:
    case remuda::cuda::NumberType::kTf32:
      break;
  }
  return use(0.0f);
}

// A bad one would read anywhere in the GPU's memory.
inline void check_ids(const int32_t* ids, int64_t count, int32_t end, const std::string& what) {
  for (int64_t i = 0; i < count; ++i) {
    if (ids[i] >= 0 && ids[i] < end) continue;
    refuse(what + " from 0 to " + std::to_string(end - 1) + ", found " + std::to_string(ids[i]));
  }
}

// Of what is encoded together: offsets are [count + 1], and `what` says of what.
inline void check_lengths(const int64_t* offsets, int64_t count, int64_t max_length, const std::string& what) {
  if (count < 1 || offsets[0] != 0) refuse("encode: expected at least one " + what + ", from 0 on");
  for (int64_t i = 0; i < count; ++i) {
    const int64_t length = offsets[i + 1] - offsets[i];
    if (length >= 1 && length <= max_length) continue;
    refuse("encode: expected " + what + "s of 1 to " + std::to_string(max_length) + " tokens, found one of " +
           std::to_string(length));
  }
  if (offsets[count] > std::numeric_limits<int32_t>::max()) refuse("encode: expected fewer than 2^31 tokens");
}

// What all layers of one side of a model have in common.
struct LayerShape {
  int64_t hidden_size = 0;
  int64_t inner_size = 0;
  int num_heads = 0;
  float epsilon = 0.0f;
  kernels::Activation activation = kernels::Activation::kNone;
  bool uses_tf32 = false;     // This and the next as in ProductShape.
  bool has_few_rows = false;  // As a decoder's steps.

  int head_dim() const { return static_cast<int>(hidden_size) / num_heads; }
  float score_scale() const { return 1.0f / std::sqrt(static_cast<float>(head_dim())); }
};

// Rows on their way. What lies between two layers is `hidden`; the rest may be used for other things there, and `inner`
// may be where query_key_value and context are.
template <class Element>
struct LayerRows {
  Element* hidden;           // [rows, hidden_size]
  Element* product;          // [rows, hidden_size]
  Element* query_key_value;  // [rows, 3 * hidden_size]
  Element* context;          // [rows, hidden_size]
  Element* inner;            // [rows, inner_size]
  int64_t rows;
  cudaStream_t stream;
};
template <class Element>
LayerRows<Element> lay_out_rows(const LayerShape& shape, int64_t rows, cudaStream_t stream, Parts& parts) {
  LayerRows<Element> at = {};
  at.rows = rows;
  at.stream = stream;
  at.hidden = parts.take<Element>(rows * shape.hidden_size);
  at.product = parts.take<Element>(rows * shape.hidden_size);
  Parts attention = parts;
  Parts feed_forward = parts;
  at.query_key_value = attention.take<Element>(rows * 3 * shape.hidden_size);
  at.context = attention.take<Element>(rows * shape.hidden_size);
  at.inner = feed_forward.take<Element>(rows * shape.inner_size);
  parts = attention.bytes() > feed_forward.bytes() ? attention : feed_forward;
  return at;
}

// hidden = layer_norm(product + bias + hidden)
template <class Element>
void add_and_normalize(const LayerShape& shape, const LayerRows<Element>& at, const float* bias, const float* gamma,
                       const float* beta) {
  kernels::cuda::layer_norm(kernels::cuda::LayerNormParams<Element>{.x = at.product,
                                                                    .bias = bias,
                                                                    .residual = at.hidden,
                                                                    .norm = {gamma, beta, shape.epsilon},
                                                                    .y = at.hidden,
                                                                    .rows = at.rows,
                                                                    .columns = static_cast<int>(shape.hidden_size)},
                            at.stream);
}

// The parts of layers, with the algorithms of their products. Immutable and thread-safe.
template <class Element>
class Layers {
  using Product = kernels::cuda::Product;
  using ProductShape = kernels::cuda::ProductShape;

  // All biases but the first's are added in float by what follows.
  struct Shapes {
    explicit Shapes(const LayerShape& shape)
        : query_key_value(product(shape, 3 * shape.hidden_size, shape.hidden_size, true)),
          attention_output(product(shape, shape.hidden_size, shape.hidden_size, false)),
          intermediate(product(shape, shape.inner_size, shape.hidden_size, false)),
          output(product(shape, shape.hidden_size, shape.inner_size, false)) {}

    ProductShape query_key_value, attention_output, intermediate, output;
  };

 public:
  // A product of these layers' rows.
  static ProductShape product(const LayerShape& shape, int64_t out, int64_t in, bool has_bias) {
    return {.out_features = out,
            .in_features = in,
            .type = kernels::cuda::element_type_of<Element>,
            .uses_tf32 = shape.uses_tf32,
            .has_bias = has_bias,
            .has_few_rows = shape.has_few_rows};
  }

  // Of the memory that the constructor takes for its trials.
  static uint64_t trial_bytes(const LayerShape& shape) {
    const Shapes shapes(shape);
    return std::max({Product::trial_bytes(shapes.query_key_value), Product::trial_bytes(shapes.attention_output),
                     Product::trial_bytes(shapes.intermediate), Product::trial_bytes(shapes.output)});
  }

  // `first`: a layer with which they are tried.
  Layers(const LayerShape& shape, const LayerWeights<Element>& first, void* trial, cudaStream_t stream)
      : shape_(shape),
        query_key_value_(Shapes(shape).query_key_value, first.query_key_value, first.query_key_value_bias, trial,
                         stream),
        attention_output_(Shapes(shape).attention_output, first.attention_output, nullptr, trial, stream),
        intermediate_(Shapes(shape).intermediate, first.intermediate, nullptr, trial, stream),
        output_(Shapes(shape).output, first.output, nullptr, trial, stream) {}

  const LayerShape& shape() const { return shape_; }

  // Attention is what comes between these two.
  void project(const LayerRows<Element>& at, const LayerWeights<Element>& layer) const {
    query_key_value_.multiply(at.hidden, layer.query_key_value, layer.query_key_value_bias, at.query_key_value, at.rows,
                              at.stream);
  }
  void add_attention(const LayerRows<Element>& at, const LayerWeights<Element>& layer) const {
    attention_output_.multiply(at.context, layer.attention_output, nullptr, at.product, at.rows, at.stream);
    add_and_normalize(shape_, at, layer.attention_output_bias, layer.attention_gamma, layer.attention_beta);
  }

  // What sequences that lie in tiles attend to themselves with.
  kernels::cuda::AttentionParams<Element> self_attention(const LayerRows<Element>& at,
                                                         const kernels::cuda::AttentionTile* tiles,
                                                         int64_t num_tiles) const {
    const int64_t size = shape_.hidden_size;
    return {.q = at.query_key_value,
            .k = at.query_key_value + size,
            .v = at.query_key_value + 2 * size,
            .q_stride = 3 * size,
            .kv_stride = 3 * size,
            .out = at.context,
            .out_stride = size,
            .tiles = tiles,
            .num_tiles = num_tiles,
            .num_heads = shape_.num_heads,
            .head_dim = shape_.head_dim(),
            .scale = shape_.score_scale()};
  }

  void feed_forward(const LayerRows<Element>& at, const LayerWeights<Element>& layer) const {
    intermediate_.multiply(at.hidden, layer.intermediate, nullptr, at.inner, at.rows, at.stream);
    // Not fused into the product: cuBLASLt's GELU is the approximation by tanh, 5e-4 off.
    kernels::cuda::activate(kernels::cuda::ActivateParams<Element>{.x = at.inner,
                                                                   .bias = layer.intermediate_bias,
                                                                   .activation = shape_.activation,
                                                                   .rows = at.rows,
                                                                   .columns = static_cast<int>(shape_.inner_size)},
                            at.stream);
    output_.multiply(at.inner, layer.output, nullptr, at.product, at.rows, at.stream);
    add_and_normalize(shape_, at, layer.output_bias, layer.output_gamma, layer.output_beta);
  }

 private:
  LayerShape shape_;
  Product query_key_value_, attention_output_, intermediate_, output_;
};

}  // namespace remuda::models::cuda
