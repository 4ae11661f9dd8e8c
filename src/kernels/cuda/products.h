// Matrix products of a GPU: y = x W^T + bias, by cuBLASLt.
//
// A row's bits must not depend on the number of rows. So a product's algorithm is chosen once for its weights' shape,
// whatever the number of rows will be; only algorithms that add up a row's terms in one piece are taken (no split-K, no
// memory in which parts could meet); and what is taken is tried when it is chosen: the same rows among few and among
// many, at different places, must give the same bytes, or the next algorithm is tried. It is the first that passes in
// the library's own order, never the quickest in a measurement, so that it is the same in every process.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>

#include "device/cuda_backend.h"
#include "kernels/cuda/element.h"

namespace remuda::kernels::cuda {

enum class ElementType { kFloat32, kFloat16, kBFloat16 };

template <class Element>
inline constexpr ElementType element_type_of = ElementType::kFloat32;
template <>
inline constexpr ElementType element_type_of<Float16> = ElementType::kFloat16;
template <>
inline constexpr ElementType element_type_of<BFloat16> = ElementType::kBFloat16;

struct ProductShape {
  int64_t out_features = 0;
  int64_t in_features = 0;
  ElementType type = ElementType::kFloat32;  // Of x, W, bias and y; sums are floats.
  bool uses_tf32 = false;                    // x and W, which are floats, are rounded to TF32 and multiplied quicker.
  bool has_bias = false;
  bool gives_floats = false;  // y is of floats, whatever the rest is. Without a bias.
  bool has_few_rows = false;  // The algorithm is chosen for some dozens of rows, as a decoder's steps have.

  bool operator==(const ProductShape&) const = default;
};

inline uint64_t element_bytes(ElementType type) { return type == ElementType::kFloat32 ? 4 : 2; }
inline ElementType output_type(const ProductShape& shape) {
  return shape.gives_floats ? ElementType::kFloat32 : shape.type;
}
inline uint64_t output_row_bytes(const ProductShape& shape) {
  return static_cast<uint64_t>(shape.out_features) * element_bytes(output_type(shape));
}

// The rows of a trial: different ones, over and over again, so many that there are more tiles than multiprocessors, and
// no multiple of a tile; of a step, whose rows are as long as a vocabulary, some tiles.
inline constexpr int64_t kTrialRows = 67;
inline int64_t most_trial_rows(const ProductShape& shape) { return kTrialRows * (shape.has_few_rows ? 5 : 61); }
// Of those that go in; those that come out lie behind them.
inline uint64_t trial_input_bytes(const ProductShape& shape) {
  constexpr uint64_t kAlignment = remuda::cuda::kMemoryAlignment;
  const uint64_t bytes = static_cast<uint64_t>(most_trial_rows(shape) * shape.in_features) * element_bytes(shape.type);
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// A row's bytes are a multiple of this, in x and in y.
inline constexpr int64_t kProductRowBytes = 16;

// Immutable and thread-safe; of one device, which must be current when it is made and used.
class Product {
 public:
  // Bytes of the device's memory that the constructor takes for its trials.
  static uint64_t trial_bytes(const ProductShape& shape) {
    return trial_input_bytes(shape) + static_cast<uint64_t>(most_trial_rows(shape)) * output_row_bytes(shape);
  }

  // weights: [out_features, in_features] on the device, with which the algorithm is tried; bias: [out_features];
  // trial: trial_bytes(), at a multiple of 256 bytes. Uses `stream` and waits for it. Throws StatusError where the
  // library is missing or has no algorithm that passes.
  Product(const ProductShape& shape, const void* weights, const void* bias, void* trial, cudaStream_t stream);
  ~Product();
  Product(Product&&) noexcept;
  Product& operator=(Product&&) noexcept;

  const ProductShape& shape() const;

  // x: [rows, in_features], y: [rows, out_features], dense, at multiples of 256 bytes; at least one row. Any weights of
  // the shape will do. Returns at once. Throws StatusError.
  void multiply(const void* x, const void* weights, const void* bias, void* y, int64_t rows, cudaStream_t stream) const;

 private:
  struct Plan;

  std::unique_ptr<Plan> plan_;
};

}  // namespace remuda::kernels::cuda
