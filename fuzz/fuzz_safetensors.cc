// Any bytes as a safetensors file: refused with an Error, or tensors that lie within the file.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "io/checkpoint.h"
#include "memory_file.h"
#include "remuda/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace remuda;
  try {
    const auto checkpoint = io::Checkpoint::open_file(memory_file(data, size));
    const auto file = checkpoint.files().front().bytes();
    for (const auto& [name, tensor] : checkpoint.tensors()) {
      if (!tensor.unreadable.empty()) continue;
      const TensorView& view = tensor.view;
      if (view.data < file.data() || view.data + view.bytes() > file.data() + file.size()) std::abort();
      const bool is_float = view.dtype == DType::kF32 || view.dtype == DType::kF16 || view.dtype == DType::kBF16;
      if (is_float && view.size() > 0) checkpoint.get(name, view.shape).at(view.size() - 1);
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalidFile) throw;
  }
  return 0;
}
