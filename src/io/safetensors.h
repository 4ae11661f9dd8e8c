// Tensors of a safetensors file. The format: https://github.com/huggingface/safetensors#format.
#pragma once

#include "io/mapped_file.h"
#include "io/stored_tensor.h"

namespace remuda::io {

// Tensors by name, as views of the file. Nothing the header says is believed unchecked. Throws Error(kInvalidFile)
// naming file, field, expected and found.
StoredTensors read_safetensors(const MappedFile& file);

}  // namespace remuda::io
