// A tensor as a file of weights has it.
#pragma once

#include <map>
#include <string>

#include "tensor/tensor.h"

namespace remuda::io {

struct StoredTensor {
  TensorView view;  // Row-major where `strides` is empty; data points into the mapped file.
  Shape strides;    // Elements from one index to the next, a dimension; empty: the tensor is contiguous.
  std::string
      unreadable;  // What it is, where this program can't compute with it: "F8_E4M3"; only the shape counts then.
};

using StoredTensors = std::map<std::string, StoredTensor, std::less<>>;

}  // namespace remuda::io
