// Row-wise kernels: layer normalisation, embedding lookup, pooling's sums, vector norms. Every row is
// independent of the others, bit for bit.
#pragma once

#include <cstdint>
#include <span>

#include "device/compute_pool.h"
#include "kernels/isa.h"
#include "kernels/linear.h"
#include "tensor/tensor.h"

namespace remuda::kernels {

// y = (x - mean(x)) / sqrt(var(x) + epsilon) * gamma + beta, for each row; x and y may be the same.
// gamma, beta: [cols]. Ba et al. 2016; the variance is the biased one, as in PyTorch.
void layer_norm(MatrixView<const float> x, const float* gamma, const float* beta, float epsilon, MatrixView<float> y,
                ComputePool& pool, Isa isa = active_isa());

// y[i] = table[ids[i]] as floats, plus, where given, one row of each of `added` (position and type
// embeddings). table: [vocabulary, cols] of dtype F32, F16 or BF16, read where it lies; ids must be in range.
struct AddedRows {
  MatrixView<const float> table;
  std::span<const int32_t> ids;  // One a row of y.
};
void gather_rows(const TensorView& table, std::span<const int32_t> ids, std::span<const AddedRows> added,
                 MatrixView<float> y, ComputePool& pool, Isa isa = active_isa());

// Applies an activation to n floats in place (models with layers that are not products).
void activate(Activation activation, float* x, int64_t n, Isa isa = active_isa());

}  // namespace remuda::kernels
