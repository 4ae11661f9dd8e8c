// Any bytes as a safetensors file: refused with an Error, or tensors that lie within the file.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "io/checkpoint.h"
#include "remuda/error.h"

namespace {

// A file without a disk, opened anew for each input through its descriptor's path.
std::string memory_file(const uint8_t* data, size_t size) {
  static const int file = memfd_create("safetensors", MFD_CLOEXEC);
  if (file < 0 || ftruncate(file, 0) != 0 || pwrite(file, data, size, 0) != static_cast<ssize_t>(size)) std::abort();
  return "/proc/self/fd/" + std::to_string(file);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace remuda;
  try {
    const auto checkpoint = io::Checkpoint::open_file(memory_file(data, size));
    const auto file = checkpoint.files().front().bytes();
    for (const auto& [name, tensor] : checkpoint.tensors()) {
      if (tensor.data < file.data() || tensor.data + tensor.bytes() > file.data() + file.size()) std::abort();
      const bool is_float = tensor.dtype == DType::kF32 || tensor.dtype == DType::kF16 || tensor.dtype == DType::kBF16;
      if (is_float && tensor.size() > 0) checkpoint.get(name, tensor.shape).at(tensor.size() - 1);
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalidFile) throw;
  }
  return 0;
}
