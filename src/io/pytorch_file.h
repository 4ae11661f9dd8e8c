// Weights from a file of torch.save: pytorch_model.bin, as PyTorch writes it since 1.6 (a zip archive) and before.
#pragma once

#include "io/mapped_file.h"
#include "io/stored_tensor.h"

namespace remuda::io {

// Tensors by name, as views of the file: of a dictionary's top level, as transformers reads it; what else is there is
// ignored. Nothing in the file is run. Throws Error(kUnsupported), naming the global or the entry, for what isn't of
// weights; Error(kInvalidFile) naming file, place, expected and found.
StoredTensors read_pytorch_file(const MappedFile& file);

}  // namespace remuda::io
