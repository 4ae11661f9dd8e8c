// Element types of tensors, in memory and in files.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace remuda {

enum class DType { kF32, kF16, kBF16, kF64, kI8, kU8, kI16, kI32, kI64, kBool };

// Bytes an element takes.
size_t size_of(DType dtype);

// The names that safetensors files use: "F32", "F16", "BF16", ...
std::string_view to_string(DType dtype);
std::optional<DType> parse_dtype(std::string_view name);

}  // namespace remuda
