// Tensors in memory: a view that does not own, an owner with cache-line alignment, and matrix views for
// kernels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tensor/dtype.h"

namespace remuda {

using Shape = std::vector<int64_t>;

// Elements in a shape: 1 for a scalar. The dimensions must be non-negative and their product must fit.
int64_t element_count(const Shape& shape);

// "[30522, 384]".
std::string to_string(const Shape& shape);

// A row-major, contiguous tensor that something else owns.
struct TensorView {
  DType dtype = DType::kF32;
  Shape shape;
  const std::byte* data = nullptr;

  int64_t size() const { return element_count(shape); }
  size_t bytes() const { return static_cast<size_t>(size()) * size_of(dtype); }
  // Element `index`, in row-major order, as a float; dtype must be F32, F16, BF16 or F64.
  float at(int64_t index) const;
};

// Copies the elements [begin, begin + count) of an F32, F16, BF16 or F64 view to floats.
void to_float(const TensorView& view, int64_t begin, int64_t count, float* out);

// A matrix with rows `stride` elements apart; row r, column c is data[r * stride + c].
template <typename T>
struct MatrixView {
  T* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;

  MatrixView() = default;
  MatrixView(T* data_, int64_t rows_, int64_t cols_) : MatrixView(data_, rows_, cols_, cols_) {}
  MatrixView(T* data_, int64_t rows_, int64_t cols_, int64_t stride_)
      : data(data_), rows(rows_), cols(cols_), stride(stride_) {}

  T* row(int64_t r) const { return data + r * stride; }
  MatrixView slice_rows(int64_t begin, int64_t count) const { return {row(begin), count, cols, stride}; }
  MatrixView slice_cols(int64_t begin, int64_t count) const { return {data + begin, rows, count, stride}; }
  operator MatrixView<const T>() const { return {data, rows, cols, stride}; }
};

// Uninitialised memory, aligned to 64 bytes. From 64 KiB on it is mapped (base/large_vector.h), and the system's again
// as soon as it is freed; from 2 MiB on in huge pages where the system has them.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t bytes);  // Throws OutOfMemory.
  AlignedBuffer(AlignedBuffer&& other) noexcept : data_(std::move(other.data_)), size_(std::exchange(other.size_, 0)) {}
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    data_ = std::move(other.data_);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }

  std::byte* data() const { return data_.get(); }
  size_t size() const { return size_; }
  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(data_.get());
  }

 private:
  struct Free {
    size_t mapped_bytes;  // 0: from the heap.
    void operator()(std::byte* data) const;
  };
  std::unique_ptr<std::byte[], Free> data_;
  size_t size_ = 0;
};

// An owning float vector or matrix, aligned for the kernels.
class FloatTensor {
 public:
  FloatTensor() = default;
  explicit FloatTensor(Shape shape);                // Uninitialised.
  static FloatTensor from(const TensorView& view);  // A copy, converted.

  const Shape& shape() const { return shape_; }
  int64_t size() const { return element_count(shape_); }
  size_t bytes() const { return buffer_.size(); }
  float* data() { return buffer_.as<float>(); }
  const float* data() const { return buffer_.as<const float>(); }

 private:
  Shape shape_ = {0};
  AlignedBuffer buffer_;
};

}  // namespace remuda
