// The layers that a transformer is put together from: parameters, and a forward function over views.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/attention.h"
#include "kernels/elementwise.h"
#include "kernels/linear.h"
#include "tensor/tensor.h"

namespace remuda::nn {

// y = activation(x W^T + b) + residual.
struct Linear {
  kernels::PackedWeights weights;  // [out_features, in_features]
  FloatTensor bias;                // [out_features], or empty.

  // x: [rows, in_features], y: [rows, out_features]; residual, if any, is shaped like y and may be y.
  void forward(MatrixView<const float> x, MatrixView<float> y, ComputePool& pool,
               kernels::Activation activation = kernels::Activation::kNone,
               MatrixView<const float> residual = {}) const {
    kernels::linear(x, weights, {bias.size() > 0 ? bias.data() : nullptr, activation, residual}, y, pool);
  }
  // The same with any activation: those that a product's epilogue doesn't know are a pass of their own.
  void forward(MatrixView<const float> x, MatrixView<float> y, ComputePool& pool, ActivationFunction activation) const {
    const auto fused = kernels::fused_activation(activation);
    forward(x, y, pool, fused.value_or(kernels::Activation::kNone));
    if (!fused) kernels::apply(activation, y, pool, weights.isa());
  }
  size_t bytes() const { return weights.bytes() + bias.bytes(); }
};

struct LayerNorm {
  FloatTensor gamma;  // [hidden_size]
  FloatTensor beta;   // [hidden_size]
  float epsilon = 1e-12f;

  void forward_in_place(MatrixView<float> x, ComputePool& pool) const {
    kernels::layer_norm(x, gamma.data(), beta.data(), epsilon, x, pool);
  }
  size_t bytes() const { return gamma.bytes() + beta.bytes(); }
};

}  // namespace remuda::nn
