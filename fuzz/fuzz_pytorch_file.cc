// Any bytes as a file of torch.save: refused with an Error, or tensors that lie within the file.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "io/pytorch_file.h"
#include "io/strided_copy.h"
#include "memory_file.h"
#include "remuda/error.h"

namespace {

constexpr size_t kMostCopied = size_t{1} << 20;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace remuda;
  try {
    const io::MappedFile file(memory_file(data, size));
    const auto bytes = file.bytes();
    for (const auto& [name, tensor] : io::read_pytorch_file(file)) {
      if (tensor.view.data == nullptr) continue;
      if (tensor.view.data < bytes.data() || tensor.view.data > bytes.data() + bytes.size()) std::abort();
      if (tensor.strides.empty() && tensor.view.data + tensor.view.bytes() > bytes.data() + bytes.size()) std::abort();
      if (!tensor.unreadable.empty() || tensor.view.bytes() > kMostCopied) continue;
      std::string copy(tensor.view.bytes(), '\0');
      io::copy_strided(tensor.view, tensor.strides, tensor.view.dtype, reinterpret_cast<std::byte*>(copy.data()));
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalidFile && error.code() != ErrorCode::kUnsupported) throw;
  }
  return 0;
}
