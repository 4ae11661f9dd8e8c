// Tensors with any strides to row-major ones.
#pragma once

#include "tensor/tensor.h"

namespace remuda::io {

// Copies a tensor whose dimensions have these strides, in elements, to a contiguous one. `strides` empty: it is
// contiguous. `dtype` is the tensor's own or, for one of F64, F32.
void copy_strided(const TensorView& tensor, const Shape& strides, DType dtype, std::byte* out);

}  // namespace remuda::io
