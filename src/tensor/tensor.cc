#include "tensor/tensor.h"

#include <fmt/ranges.h>
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

#include "base/fail.h"
#include "base/large_vector.h"
#include "tensor/float16.h"

namespace remuda {
namespace {

constexpr size_t kCacheLine = 64;
constexpr size_t kHugePage = size_t{2} << 20;

// Memory that begins at the bound of a huge page, or nullptr. `bytes` is a multiple of one.
std::byte* map_huge_pages(size_t bytes) {
  const size_t mapped = bytes + kHugePage;
  if (mapped < bytes) return nullptr;
  void* const all = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED) return nullptr;
  auto* const begin = static_cast<std::byte*>(all);
  const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(begin) % kHugePage) % kHugePage;
  if (before > 0) munmap(begin, before);
  munmap(begin + before + bytes, kHugePage - before);
  madvise(begin + before, bytes, MADV_HUGEPAGE);
  return begin + before;
}

}  // namespace

int64_t element_count(const Shape& shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

std::string to_string(const Shape& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

float TensorView::at(int64_t index) const {
  float value;
  to_float(*this, index, 1, &value);
  return value;
}

void to_float(const TensorView& view, int64_t begin, int64_t count, float* out) {
  if (count == 0) return;  // An empty tensor may have no data at all.
  const std::byte* from = view.data + begin * static_cast<int64_t>(size_of(view.dtype));
  if (view.dtype == DType::kF32) {
    std::memcpy(out, from, static_cast<size_t>(count) * sizeof(float));
    return;
  }
  if (view.dtype == DType::kF64) {
    for (int64_t i = 0; i < count; ++i) {
      double value;
      std::memcpy(&value, from + 8 * i, sizeof(value));
      out[i] = static_cast<float>(value);
    }
    return;
  }
  check_invariant(view.dtype == DType::kF16 || view.dtype == DType::kBF16, "to_float on F32, F16, BF16 or F64");
  for (int64_t i = 0; i < count; ++i) {
    uint16_t bits;  // A file may place a tensor at an odd address.
    std::memcpy(&bits, from + 2 * i, sizeof(bits));
    out[i] = view.dtype == DType::kF16 ? f16_to_float(bits) : bf16_to_float(bits);
  }
}

AlignedBuffer::AlignedBuffer(size_t bytes) : size_(bytes) {
  if (bytes == 0) return;
  const bool is_mapped = bytes >= kLeastMappedBytes;
  const bool is_huge = bytes >= kHugePage;
  const size_t alignment = is_huge ? kHugePage : kCacheLine;
  const size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  void* memory = nullptr;
  if (rounded >= bytes) {
    memory = is_huge     ? map_huge_pages(rounded)
             : is_mapped ? map_pages(rounded)
                         : std::aligned_alloc(alignment, rounded);
  }
  if (memory == nullptr) throw OutOfMemory(fmt::format("can't allocate {} bytes", bytes));
  data_ = {static_cast<std::byte*>(memory), Free{.mapped_bytes = is_mapped ? rounded : 0}};
}

void AlignedBuffer::Free::operator()(std::byte* data) const {
  if (mapped_bytes > 0) {
    munmap(data, mapped_bytes);
  } else {
    std::free(data);
  }
}

FloatTensor::FloatTensor(Shape shape)
    : shape_(std::move(shape)), buffer_(static_cast<size_t>(element_count(shape_)) * sizeof(float)) {}

FloatTensor FloatTensor::from(const TensorView& view) {
  FloatTensor tensor(view.shape);
  to_float(view, 0, tensor.size(), tensor.data());
  return tensor;
}

}  // namespace remuda
