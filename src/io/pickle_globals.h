// The globals that pickles of weights are made of.
#pragma once

#include <string_view>

#include "io/pickle.h"

namespace remuda::io {

enum class GlobalRole : uint8_t {
  kRefused,
  kOrderedDict,
  kTensor,       // _rebuild_tensor, _rebuild_tensor_v2: storage, offset, shape, strides.
  kTypedTensor,  // _rebuild_tensor_v3: the same and, seventh, the elements' type.
  kFirst,        // Calls that give their first argument: a parameter is its tensor.
  kCall,         // _rebuild_from_type_v2: a function, a type, the function's arguments.
  kOddTensor,    // Makes a tensor that isn't plain: quantized, sparse, nested.
  kElementType,
  kInert,  // Makes values that no weights depend on.
};

struct PickleGlobal {
  GlobalRole role = GlobalRole::kRefused;
  const ElementType* type = nullptr;  // For kElementType; null for an untyped storage.
  bool is_storage = false;
};

// `name`: "torch._utils._rebuild_tensor_v2".
PickleGlobal find_pickle_global(std::string_view name);

}  // namespace remuda::io
