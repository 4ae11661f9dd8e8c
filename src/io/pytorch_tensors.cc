#include "io/pytorch_tensors.h"

#include <optional>

#include "base/checked_math.h"
#include "base/fail.h"

namespace remuda::io {
namespace {

constexpr size_t kMaxNamedKeys = 5;

size_t element_size(const PickledStorage& storage) { return storage.type == nullptr ? 1 : storage.type->size; }

// Whether the elements follow one another in row-major order. Dimensions of one element may have any stride.
bool is_contiguous(const PickledTensor& tensor) {
  int64_t expected = 1;
  for (size_t i = tensor.shape.size(); i-- > 0;) {
    if (tensor.shape[i] == 0) return true;
    if (tensor.shape[i] != 1 && tensor.strides[i] != expected) return false;
    expected *= tensor.shape[i];
  }
  return true;
}

class Builder {
 public:
  Builder(const Pickle& pickle, const StoragePlaces& places, const std::string& path)
      : pickle_(pickle), places_(places), path_(path) {}

  StoredTensors build() const {
    if (pickle_.root.kind != PickleValue::Kind::kDict) {
      fail(ErrorCode::kInvalidFile, "{}: expected a dictionary of tensors, found something else", path_);
    }
    const std::vector<PickleValue>& values = pickle_.sequences[pickle_.root.index()];
    StoredTensors tensors;
    for (size_t i = 0; i < values.size(); i += 2) {
      if (values[i].kind != PickleValue::Kind::kString) continue;
      const std::string name(pickle_.strings[values[i].index()]);
      if (values[i + 1].kind == PickleValue::Kind::kTensor) {
        tensors.insert_or_assign(name, build(name, pickle_.tensors[values[i + 1].index()]));
      } else {
        tensors.erase(name);  // The last of a name counts.
      }
    }
    if (tensors.empty()) fail_no_tensors(values);
    return tensors;
  }

 private:
  [[noreturn]] void fail_no_tensors(const std::vector<PickleValue>& values) const {
    std::string keys;
    for (size_t i = 0; i < std::min(values.size(), 2 * kMaxNamedKeys); i += 2) {
      if (values[i].kind == PickleValue::Kind::kString) {
        keys.append(keys.empty() ? "" : ", ").append(pickle_.strings[values[i].index()]);
      }
    }
    fail(ErrorCode::kInvalidFile,
         "{}: expected tensors by name, found a dictionary without any (its keys: {}); save the state dict itself",
         path_, keys.empty() ? "none" : keys);
  }

  std::span<const std::byte> bytes_of(const std::string& name, const PickledStorage& storage) const {
    const auto place = places_.find(storage.key);
    if (place == places_.end()) {
      fail(ErrorCode::kInvalidFile, "{}: tensor \"{}\": expected its data, data/{}, found none of that name", path_,
           name, storage.key);
    }
    const std::optional<uint64_t> begin = checked_mul(storage.view_offset, element_size(storage));
    const std::optional<uint64_t> size = checked_mul(storage.count, element_size(storage));
    const std::optional<uint64_t> end = begin && size ? checked_add(*begin, *size) : std::nullopt;
    if (!end || *end > place->second.size()) {
      fail(ErrorCode::kInvalidFile, "{}: tensor \"{}\": expected {} elements in data/{}, found {} bytes there", path_,
           name, storage.count, storage.key, place->second.size());
    }
    return place->second.subspan(*begin, *size);
  }

  StoredTensor build(const std::string& name, const PickledTensor& tensor) const {
    if (!tensor.unreadable.empty()) return {{}, {}, tensor.unreadable};
    const PickledStorage& storage = pickle_.storages[tensor.storage];
    const std::span<const std::byte> bytes = bytes_of(name, storage);
    const size_t size = tensor.type->size;
    check_bounds(name, tensor, bytes.size() / size);
    StoredTensor stored;
    stored.view.shape = tensor.shape;
    stored.view.dtype = tensor.type->is_readable ? tensor.type->dtype : DType::kU8;
    stored.view.data = bytes.data() + static_cast<uint64_t>(tensor.offset) * size;
    if (!is_contiguous(tensor)) stored.strides = tensor.strides;
    if (!tensor.type->is_readable) stored.unreadable = tensor.type->name;
    return stored;
  }

  void check_bounds(const std::string& name, const PickledTensor& tensor, uint64_t elements) const {
    std::optional<uint64_t> count = tensor.type->size;  // Bytes of the tensor, if it were contiguous.
    std::optional<uint64_t> last = static_cast<uint64_t>(tensor.offset);
    bool is_empty = false;
    for (size_t i = 0; i < tensor.shape.size(); ++i) {
      const auto size = static_cast<uint64_t>(tensor.shape[i]);
      if (size == 0) {
        is_empty = true;
        continue;
      }
      if (count) count = checked_mul(*count, size);
      const std::optional<uint64_t> reach = checked_mul(size - 1, static_cast<uint64_t>(tensor.strides[i]));
      last = last && reach ? checked_add(*last, *reach) : std::nullopt;
    }
    const bool fits = is_empty ? static_cast<uint64_t>(tensor.offset) <= elements : last && *last < elements;
    if (fits && count && *count <= INT64_MAX) return;
    fail(
        ErrorCode::kInvalidFile,
        "{}: tensor \"{}\": expected it within the {} elements of its storage, found the shape {} with strides {} from "
        "element {}",
        path_, name, elements, to_string(tensor.shape), to_string(tensor.strides), tensor.offset);
  }

  const Pickle& pickle_;
  const StoragePlaces& places_;
  const std::string& path_;
};

}  // namespace

StoredTensors build_tensors(const Pickle& pickle, const StoragePlaces& places, const std::string& path) {
  return Builder(pickle, places, path).build();
}

}  // namespace remuda::io
