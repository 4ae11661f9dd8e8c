#include "io/strided_copy.h"

#include <algorithm>
#include <cstring>

#include "base/fail.h"

namespace remuda::io {
namespace {

// Rows and columns of a transposed matrix that are copied in one go: few enough for the first-level cache.
constexpr int64_t kBlock = 16;

template <typename From, typename To>
void copy_element(const std::byte* from, std::byte* out) {
  From value;  // A file may place a tensor at an odd address.
  std::memcpy(&value, from, sizeof(value));
  const To converted = static_cast<To>(value);
  std::memcpy(out, &converted, sizeof(converted));
}

// A matrix of any strides, in elements.
template <typename From, typename To>
void copy_matrix(const std::byte* from, int64_t rows, int64_t row_stride, int64_t cols, int64_t col_stride,
                 std::byte* out) {
  constexpr auto kFrom = static_cast<int64_t>(sizeof(From)), kTo = static_cast<int64_t>(sizeof(To));
  for (int64_t row_block = 0; row_block < rows; row_block += kBlock) {
    for (int64_t col_block = 0; col_block < cols; col_block += kBlock) {
      for (int64_t row = row_block; row < std::min(row_block + kBlock, rows); ++row) {
        for (int64_t col = col_block; col < std::min(col_block + kBlock, cols); ++col) {
          copy_element<From, To>(from + (row * row_stride + col * col_stride) * kFrom, out + (row * cols + col) * kTo);
        }
      }
    }
  }
}

// The last two dimensions are a matrix; those before are counted through.
template <typename From, typename To>
void copy_all(const TensorView& tensor, Shape strides, std::byte* out) {
  Shape shape = tensor.shape;
  if (std::ranges::find(shape, 0) != shape.end()) return;
  while (shape.size() < 2) {
    shape.insert(shape.begin(), 1);
    strides.insert(strides.begin(), 0);
  }
  const size_t outer = shape.size() - 2;
  Shape index(outer, 0);
  for (;;) {
    int64_t offset = 0;
    for (size_t i = 0; i < outer; ++i) offset += index[i] * strides[i];
    copy_matrix<From, To>(tensor.data + offset * static_cast<int64_t>(sizeof(From)), shape[outer], strides[outer],
                          shape[outer + 1], strides[outer + 1], out);
    out += shape[outer] * shape[outer + 1] * static_cast<int64_t>(sizeof(To));
    size_t i = outer;
    while (i > 0 && ++index[i - 1] == shape[i - 1]) index[--i] = 0;
    if (i == 0) return;
  }
}

Shape contiguous_strides(const Shape& shape) {
  Shape strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

}  // namespace

void copy_strided(const TensorView& tensor, const Shape& strides, DType dtype, std::byte* out) {
  const Shape steps = strides.empty() ? contiguous_strides(tensor.shape) : strides;
  if (tensor.dtype == DType::kF64 && dtype == DType::kF32) return copy_all<double, float>(tensor, steps, out);
  check_invariant(tensor.dtype == dtype, "a copied tensor keeps its type");
  switch (size_of(dtype)) {
    case 2:
      return copy_all<uint16_t, uint16_t>(tensor, steps, out);
    case 4:
      return copy_all<uint32_t, uint32_t>(tensor, steps, out);
    case 8:
      return copy_all<uint64_t, uint64_t>(tensor, steps, out);
    default:
      return copy_all<uint8_t, uint8_t>(tensor, steps, out);
  }
}

}  // namespace remuda::io
