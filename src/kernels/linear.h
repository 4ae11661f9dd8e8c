// y = epilogue(x W^T): the matrix product that nearly all of a transformer's time goes to.
//
// Weights are packed once into panels that the micro-kernels of one instruction set stream through; packed
// weights are immutable and may be used by any number of threads. Each row of y is computed by the same
// operations in the same order whatever the other rows, the number of rows and the number of threads: its
// bits depend on its x alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "device/compute_pool.h"
#include "kernels/activation.h"
#include "kernels/isa.h"
#include "remuda/precision.h"
#include "tensor/tensor.h"

namespace remuda::kernels {

// The version of the layouts that packing gives, for those who keep packed weights in files. Whoever changes what
// pack_panel writes, in any instruction set or precision, raises it; a test watches.
inline constexpr int kPackedLayoutVersion = 1;

// A weight matrix [out_features, in_features], as PyTorch's nn.Linear keeps it, in the layout of one
// instruction set: memory of its own, or a view of what somebody else holds.
class PackedWeights {
 public:
  PackedWeights() = default;

  // Packs the rows of the given matrices one below the other (so that one product computes query, key and
  // value). Each must be of dtype F32, F16 or BF16 and of shape [out_i, in_features]; precision is kFp32,
  // kBf16 or kInt8.
  PackedWeights(const std::vector<TensorView>& matrices, Precision precision, ComputePool& pool,
                Isa isa = active_isa());
  // A view of what these matrices were packed to before: packed_bytes() bytes, 64-byte aligned, which must outlive it.
  // Of the matrices only the shapes are looked at.
  PackedWeights(const std::vector<TensorView>& matrices, Precision precision, std::span<const std::byte> packed,
                Isa isa = active_isa());

  // The bytes that these matrices take when they are packed.
  static size_t packed_bytes(const std::vector<TensorView>& matrices, Precision precision, Isa isa = active_isa());

  int64_t out_features() const { return out_features_; }
  int64_t in_features() const { return in_features_; }
  Precision precision() const { return precision_; }
  Isa isa() const { return isa_; }
  size_t bytes() const { return packed_.size(); }
  const std::byte* data() const { return packed_.data(); }

 private:
  PackedWeights(const std::vector<TensorView>& matrices, Precision precision, Isa isa);

  int64_t out_features_ = 0;
  int64_t in_features_ = 0;
  Precision precision_ = Precision::kFp32;
  Isa isa_ = Isa::kGeneric;
  AlignedBuffer buffer_;               // Empty for a view.
  std::span<const std::byte> packed_;  // What buffer_ or somebody else holds.
};

// What is done to a value before it is stored: y = activation(x W^T + bias) + residual.
struct Epilogue {
  const float* bias = nullptr;  // [out_features]
  Activation activation = Activation::kNone;
  MatrixView<const float> residual = {};  // [rows, out_features], may be y itself; data == nullptr for none.
};

// x: [rows, in_features], y: [rows, out_features]; both may be strided; x and y must not overlap.
void linear(MatrixView<const float> x, const PackedWeights& weights, const Epilogue& epilogue, MatrixView<float> y,
            ComputePool& pool);

}  // namespace remuda::kernels
