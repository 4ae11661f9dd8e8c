// y = epilogue(x W^T): the matrix product that nearly all of a transformer's time goes to.
//
// Weights are packed once into panels that the micro-kernels of one instruction set stream through; packed
// weights are immutable and may be used by any number of threads. Each row of y is computed by the same
// operations in the same order whatever the other rows, the number of rows and the number of threads: its
// bits depend on its x alone.
#pragma once

#include <algorithm>
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
  // Of what these matrices were packed to by a WeightPacking.
  PackedWeights(const std::vector<TensorView>& matrices, Precision precision, AlignedBuffer packed,
                Isa isa = active_isa());
  // A view of what these matrices were packed to before: packed_bytes() bytes, 64-byte aligned, which must outlive it.
  // Of the matrices only the shapes are looked at.
  PackedWeights(const std::vector<TensorView>& matrices, Precision precision, std::span<const std::byte> packed,
                Isa isa = active_isa());

  // The bytes that these matrices take when they are packed.
  static size_t packed_bytes(const std::vector<TensorView>& matrices, Precision precision, Isa isa = active_isa());
  // The same of one [out_features, in_features].
  static size_t packed_bytes(int64_t out_features, int64_t in_features, Precision precision, Isa isa = active_isa());

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

// The packing of matrices as PackedWeights has them, in parts, for those who put what is packed elsewhere, or let go of
// what was read: then it takes little memory beside.
class WeightPacking {
 public:
  // A part has about so many bytes, before packing and after; more where so many threads would have nothing to do.
  static constexpr int64_t kPartBytes = int64_t{4} << 20;

  WeightPacking(std::vector<TensorView> matrices, Precision precision, ComputePool& pool, Isa isa = active_isa());

  // Of all that is packed; of the largest part; of the next one, 0 at the end; of those before it.
  size_t bytes() const { return static_cast<size_t>(panels_ * panel_bytes_); }
  size_t part_bytes() const { return static_cast<size_t>(part_panels_ * panel_bytes_); }
  size_t next_bytes() const { return static_cast<size_t>(next_panels() * panel_bytes_); }
  size_t offset() const { return static_cast<size_t>(first_panel_ * panel_bytes_); }

  // Packs the next part to `out`, 64-byte aligned, of next_bytes(). Returns rows of the matrices that were read for it.
  std::vector<TensorView> pack_next(std::byte* out);

 private:
  int64_t next_panels() const { return std::min(part_panels_, panels_ - first_panel_); }

  const std::vector<TensorView> matrices_;
  const Precision precision_;
  const Isa isa_;
  ComputePool& pool_;
  int64_t panels_ = 0;
  int64_t panel_bytes_ = 0;
  int64_t part_panels_ = 0;
  int64_t first_panel_ = 0;
};

// What is done to a value before it is stored: y = activation(x W^T + bias) + residual.
struct Epilogue {
  const float* bias = nullptr;  // [out_features]
  Activation activation = Activation::kNone;
  MatrixView<const float> residual = {};  // [rows, out_features], may be y itself; data == nullptr for none.
};

// The workspace that linear() takes for so many rows of x: what kernels of reduced precisions prepare of them, 0 for
// those that take floats as they are.
size_t prepared_bytes(Precision precision, int64_t rows, int64_t in_features, Isa isa = active_isa());

// x: [rows, in_features], y: [rows, out_features]; both may be strided; x and y must not overlap.
void linear(MatrixView<const float> x, const PackedWeights& weights, const Epilogue& epilogue, MatrixView<float> y,
            ComputePool& pool);

}  // namespace remuda::kernels
