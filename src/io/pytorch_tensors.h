// From what a pickle says of tensors to views of their bytes.
#pragma once

#include <map>
#include <span>
#include <string>

#include "io/pickle.h"
#include "io/stored_tensor.h"

namespace remuda::io {

// The bytes of each storage, by key.
using StoragePlaces = std::map<std::string, std::span<const std::byte>, std::less<>>;

// The tensors of the dictionary that the pickle holds, each checked to lie within its storage, and its storage within
// its bytes. `path` is for messages. Throws Error(kInvalidFile).
StoredTensors build_tensors(const Pickle& pickle, const StoragePlaces& places, const std::string& path);

// The file that PyTorch wrote before 1.6: pickles, then the storages' bytes. Throws as read_pytorch_file().
StoredTensors read_legacy_pytorch_file(std::span<const std::byte> file, const std::string& path);

}  // namespace remuda::io
