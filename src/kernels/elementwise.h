// Row-wise kernels: layer normalisation, embedding lookup, activations. Every row is independent of the others, bit for
// bit.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/activations.h"
#include "device/compute_pool.h"
#include "kernels/isa.h"
#include "kernels/linear.h"
#include "tensor/tensor.h"

namespace remuda::kernels {

// y = (x - mean(x)) / sqrt(var(x) + epsilon) * gamma + beta, for each row; x and y may be the same.
// gamma, beta: [cols]. Ba et al. 2016; the variance is the biased one, as in PyTorch.
void layer_norm(MatrixView<const float> x, const float* gamma, const float* beta, float epsilon, MatrixView<float> y,
                ComputePool& pool, Isa isa = active_isa());

// y[i] = scale * table[ids[i]] as floats, plus, where given, one row of each of `added` (position and type embeddings).
// table: [vocabulary, cols] of dtype F32, F16 or BF16, read where it lies, at any address. Throws
// Error(kInvalidArgument) that names the first id out of range.
struct EmbeddingTable {
  EmbeddingTable(const TensorView& table_, float scale_ = 1.0f) : table(table_), scale(scale_) {}

  const TensorView& table;
  float scale;
};
struct AddedRows {
  MatrixView<const float> table;
  std::span<const int32_t> ids;  // One a row of y.
};
void gather_rows(const EmbeddingTable& embeddings, std::span<const int32_t> ids, std::span<const AddedRows> added,
                 MatrixView<float> y, ComputePool& pool, Isa isa = active_isa());

// Applies an activation to n floats in place (models with layers that are not products), on the calling thread. A NaN
// stays a NaN; errors are stated in cpu/simd_math.h.
void activate(Activation activation, float* x, int64_t n, Isa isa = active_isa());

// What of the activations a product's epilogue computes; nullopt: none of them is this one.
std::optional<Activation> fused_activation(ActivationFunction function);

// y = function(y), for each element. Errors of functions without a kernel of their own are those of the C library's
// float functions that they are made of.
void apply(ActivationFunction function, float* x, int64_t n, Isa isa = active_isa());
void apply(ActivationFunction function, MatrixView<float> y, ComputePool& pool, Isa isa = active_isa());

}  // namespace remuda::kernels
