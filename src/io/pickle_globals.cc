#include "io/pickle_globals.h"

#include <algorithm>
#include <array>

namespace remuda::io {
namespace {

struct Known {
  std::string_view name;
  GlobalRole role;
};

// In the order of PyTorch's own list, _get_allowed_globals() and _tensor_rebuild_functions().
constexpr std::array kGlobals = std::to_array<Known>({
    {"collections.OrderedDict", GlobalRole::kOrderedDict},
    {"torch._utils._rebuild_tensor", GlobalRole::kTensor},
    {"torch._utils._rebuild_tensor_v2", GlobalRole::kTensor},
    {"torch._utils._rebuild_tensor_v3", GlobalRole::kTypedTensor},
    {"torch._utils._rebuild_parameter", GlobalRole::kFirst},
    {"torch._utils._rebuild_parameter_with_state", GlobalRole::kFirst},
    {"torch.nn.parameter.Parameter", GlobalRole::kFirst},
    {"torch._tensor._rebuild_from_type_v2", GlobalRole::kCall},
    {"torch._utils._rebuild_qtensor", GlobalRole::kOddTensor},
    {"torch._utils._rebuild_sparse_tensor", GlobalRole::kOddTensor},
    {"torch._utils._rebuild_meta_tensor_no_storage", GlobalRole::kOddTensor},
    {"torch._utils._rebuild_nested_tensor", GlobalRole::kOddTensor},
    {"torch._utils._rebuild_wrapper_subclass", GlobalRole::kOddTensor},
    {"torch._utils._rebuild_device_tensor_from_numpy", GlobalRole::kOddTensor},
    {"torch._utils._rebuild_device_tensor_from_cpu_tensor", GlobalRole::kOddTensor},
    {"collections.Counter", GlobalRole::kInert},
    {"torch.serialization._get_layout", GlobalRole::kInert},
    {"torch.Size", GlobalRole::kInert},
    {"torch.Tensor", GlobalRole::kInert},
    {"torch.device", GlobalRole::kInert},
    {"_codecs.encode", GlobalRole::kInert},
    {"builtins.bytearray", GlobalRole::kInert},
    {"builtins.set", GlobalRole::kInert},
    {"builtins.complex", GlobalRole::kInert},
    {"__builtin__.bytearray", GlobalRole::kInert},
    {"__builtin__.set", GlobalRole::kInert},
    {"__builtin__.complex", GlobalRole::kInert},
    {"torch.per_tensor_affine", GlobalRole::kInert},
    {"torch.per_tensor_symmetric", GlobalRole::kInert},
    {"torch.per_channel_affine", GlobalRole::kInert},
    {"torch.per_channel_symmetric", GlobalRole::kInert},
    {"torch.per_channel_affine_float_qparams", GlobalRole::kInert},
});

constexpr bool kUnreadable = false;

constexpr std::array kStorages = std::to_array<ElementType>({
    {"FloatStorage", 4, DType::kF32},
    {"HalfStorage", 2, DType::kF16},
    {"BFloat16Storage", 2, DType::kBF16},
    {"DoubleStorage", 8, DType::kF64},
    {"LongStorage", 8, DType::kI64},
    {"IntStorage", 4, DType::kI32},
    {"ShortStorage", 2, DType::kI16},
    {"CharStorage", 1, DType::kI8},
    {"ByteStorage", 1, DType::kU8},
    {"BoolStorage", 1, DType::kBool},
    {"ComplexFloatStorage", 8, {}, kUnreadable},
    {"ComplexDoubleStorage", 16, {}, kUnreadable},
    {"QInt8Storage", 1, {}, kUnreadable},
    {"QUInt8Storage", 1, {}, kUnreadable},
    {"QInt32Storage", 4, {}, kUnreadable},
    {"QUInt4x2Storage", 1, {}, kUnreadable},
    {"QUInt2x4Storage", 1, {}, kUnreadable},
});

constexpr std::array kTypes = std::to_array<ElementType>({
    {"float32", 4, DType::kF32},
    {"float16", 2, DType::kF16},
    {"bfloat16", 2, DType::kBF16},
    {"float64", 8, DType::kF64},
    {"int64", 8, DType::kI64},
    {"int32", 4, DType::kI32},
    {"int16", 2, DType::kI16},
    {"int8", 1, DType::kI8},
    {"uint8", 1, DType::kU8},
    {"bool", 1, DType::kBool},
    {"uint16", 2, {}, kUnreadable},
    {"uint32", 4, {}, kUnreadable},
    {"uint64", 8, {}, kUnreadable},
    {"complex32", 4, {}, kUnreadable},
    {"complex64", 8, {}, kUnreadable},
    {"complex128", 16, {}, kUnreadable},
    {"float8_e4m3fn", 1, {}, kUnreadable},
    {"float8_e4m3fnuz", 1, {}, kUnreadable},
    {"float8_e5m2", 1, {}, kUnreadable},
    {"float8_e5m2fnuz", 1, {}, kUnreadable},
    {"float8_e8m0fnu", 1, {}, kUnreadable},
    {"float4_e2m1fn_x2", 1, {}, kUnreadable},
    {"qint8", 1, {}, kUnreadable},
    {"quint8", 1, {}, kUnreadable},
    {"qint32", 4, {}, kUnreadable},
    {"quint4x2", 1, {}, kUnreadable},
    {"quint2x4", 1, {}, kUnreadable},
    {"bits8", 1, {}, kUnreadable},
    {"bits16", 2, {}, kUnreadable},
});

// Storages of newer files, which have their type in the tensor.
constexpr std::array<std::string_view, 3> kUntyped = {"torch.storage.UntypedStorage", "torch.storage._UntypedStorage",
                                                      "torch.UntypedStorage"};

template <size_t N>
const ElementType* find_type(const std::array<ElementType, N>& types, std::string_view name) {
  const auto found = std::ranges::find(types, name, &ElementType::name);
  return found == types.end() ? nullptr : &*found;
}

}  // namespace

PickleGlobal find_pickle_global(std::string_view name) {
  const auto known = std::ranges::find(kGlobals, name, &Known::name);
  if (known != kGlobals.end()) return {.role = known->role};
  if (std::ranges::find(kUntyped, name) != kUntyped.end()) {
    return {.role = GlobalRole::kElementType, .is_storage = true};
  }
  constexpr std::string_view kTorch = "torch.", kCuda = "torch.cuda.";
  if (!name.starts_with(kTorch)) return {};
  if (const ElementType* type = find_type(kTypes, name.substr(kTorch.size()))) {
    return {.role = GlobalRole::kElementType, .type = type};
  }
  name.remove_prefix(name.starts_with(kCuda) ? kCuda.size() : kTorch.size());
  if (const ElementType* type = find_type(kStorages, name)) {
    return {.role = GlobalRole::kElementType, .type = type, .is_storage = true};
  }
  return {};
}

}  // namespace remuda::io
