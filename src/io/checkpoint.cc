#include "io/checkpoint.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <set>
#include <tuple>
#include <utility>

#include "base/checked_math.h"
#include "base/fail.h"
#include "base/files.h"
#include "base/json.h"
#include "io/pytorch_file.h"
#include "io/safetensors.h"
#include "io/strided_copy.h"

namespace remuda::io {
namespace {

constexpr uint64_t kMaxIndexBytes = 100'000'000;

struct Layout {
  const char* file;
  bool is_index;
};
// In the order in which transformers looks for them.
constexpr std::array<Layout, 4> kLayouts = {{{"model.safetensors", false},
                                             {"model.safetensors.index.json", true},
                                             {"pytorch_model.bin", false},
                                             {"pytorch_model.bin.index.json", true}}};

// A shard's name must be that of a file in the same directory.
void check_shard_name(const JsonValue& json) {
  const std::filesystem::path name(json.as_string());
  if (name.empty() || name.filename() != name || name == "." || name == "..") {
    json.fail_expected("the name of a file in the same directory");
  }
}

bool is_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16 || dtype == DType::kF64;
}

}  // namespace

// Tensors that were copied.
struct Checkpoint::Copies {
  // A table is kept, and F32 where the tensor is F64.
  struct Key {
    std::string name;
    bool is_table;
    auto operator<=>(const Key&) const = default;
  };

  std::mutex mutex;
  std::map<Key, AlignedBuffer> by_key;
};

Checkpoint::Checkpoint() : copies_(std::make_unique<Copies>()) {}
Checkpoint::Checkpoint(Checkpoint&& other) noexcept = default;
Checkpoint& Checkpoint::operator=(Checkpoint&& other) noexcept = default;
Checkpoint::~Checkpoint() = default;

Checkpoint Checkpoint::open_file(const std::filesystem::path& path) {
  Checkpoint checkpoint;
  const MappedFile& file = checkpoint.files_.emplace_back(path);
  checkpoint.tensors_ = path.extension() == ".bin" ? read_pytorch_file(file) : read_safetensors(file);
  for (const auto& [name, tensor] : checkpoint.tensors_) checkpoint.file_of_.emplace(name, path.string());
  return checkpoint;
}

Checkpoint Checkpoint::open(const std::filesystem::path& model_directory) {
  for (const Layout& layout : kLayouts) {
    const auto path = model_directory / layout.file;
    if (file_exists(path)) return layout.is_index ? open_shards(path) : open_file(path);
  }
  fail(ErrorCode::kNotFound,
       "{}: expected model.safetensors, model.safetensors.index.json, pytorch_model.bin or "
       "pytorch_model.bin.index.json, "
       "found none of them",
       model_directory.string());
}

// As transformers does it: the index says which files there are, and all of their tensors count.
Checkpoint Checkpoint::open_shards(const std::filesystem::path& index_path) {
  const JsonDocument index = JsonDocument::parse_file(index_path, kMaxIndexBytes);
  std::map<std::string, Checkpoint, std::less<>> shards;
  Checkpoint checkpoint;
  for (const auto& [name, json] : index.root().at("weight_map").members()) {
    check_shard_name(json);
    const std::string shard_name(json.as_string());
    if (!shards.contains(shard_name)) {
      shards.emplace(shard_name, open_file(index_path.parent_path() / shard_name));
    }
  }
  for (auto& [name, shard] : shards) {
    for (auto& [tensor_name, tensor] : shard.tensors_) {
      checkpoint.file_of_.insert_or_assign(tensor_name, shard.files_.front().path().string());
      checkpoint.tensors_.insert_or_assign(tensor_name, std::move(tensor));
    }
    checkpoint.files_.push_back(std::move(shard.files_.front()));
  }
  return checkpoint;
}

const TensorView* Checkpoint::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end() || !found->second.unreadable.empty() || !found->second.strides.empty()) return nullptr;
  return &found->second.view;
}

const StoredTensor& Checkpoint::check(std::string_view name, const Shape& shape) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    const std::string file = files_.empty() ? "the checkpoint" : files_.front().path().string();
    fail(ErrorCode::kInvalidFile, "{}: expected a tensor \"{}\" of shape {}, found none of that name", file, name,
         to_string(shape));
  }
  const StoredTensor& tensor = found->second;
  const std::string& file = file_of_.find(name)->second;
  if (!tensor.unreadable.empty() || !is_float(tensor.view.dtype)) {
    fail(ErrorCode::kUnsupported, "{}: tensor \"{}\": expected the dtype F32, F16, BF16 or F64, found {}", file, name,
         tensor.unreadable.empty() ? to_string(tensor.view.dtype) : tensor.unreadable);
  }
  if (tensor.view.shape != shape) {
    fail(ErrorCode::kInvalidFile, "{}: tensor \"{}\": expected the shape {}, found {}", file, name, to_string(shape),
         to_string(tensor.view.shape));
  }
  return tensor;
}

TensorView Checkpoint::get(std::string_view name, const Shape& shape) const {
  const StoredTensor& tensor = check(name, shape);
  return tensor.strides.empty() ? tensor.view : copy(name, tensor, false);
}

TensorView Checkpoint::get_table(std::string_view name, const Shape& shape) const {
  const StoredTensor& tensor = check(name, shape);
  return tensor.strides.empty() && tensor.view.dtype != DType::kF64 ? tensor.view : copy(name, tensor, true);
}

TensorView Checkpoint::describe(std::string_view name, const Shape& shape) const {
  const StoredTensor& tensor = check(name, shape);
  TensorView view = tensor.view;
  if (!tensor.strides.empty()) view.data = nullptr;
  return view;
}

TensorView Checkpoint::copy(std::string_view name, const StoredTensor& tensor, bool is_table) const {
  TensorView view = tensor.view;
  if (is_table && view.dtype == DType::kF64) view.dtype = DType::kF32;
  const std::lock_guard lock(copies_->mutex);
  AlignedBuffer& buffer = copies_->by_key[{std::string(name), is_table}];
  if (buffer.size() == 0) {
    buffer = AlignedBuffer(view.bytes());
    copy_strided(tensor.view, tensor.strides, view.dtype, buffer.data());
    for (const MappedFile& file : files_) {
      const auto bytes = file.bytes();
      if (tensor.view.data >= bytes.data() && tensor.view.data < bytes.data() + bytes.size()) file.drop_pages(bytes);
    }
  }
  view.data = buffer.data();
  return view;
}

void Checkpoint::check_unwritten() const {
  for (const MappedFile& file : files_) file.check_unwritten();
}

void Checkpoint::drop_pages(const TensorView& tensor) const {
  for (const MappedFile& file : files_) {
    const auto bytes = file.bytes();
    if (tensor.data < bytes.data() || tensor.data >= bytes.data() + bytes.size()) continue;
    return file.drop_pages({tensor.data, tensor.bytes()});
  }
  const std::lock_guard lock(copies_->mutex);
  std::erase_if(copies_->by_key,
                [&](const auto& item) { return !item.first.is_table && item.second.data() == tensor.data; });
}

void Checkpoint::drop_pages() const {
  for (const MappedFile& file : files_) file.drop_pages(file.bytes());
  const std::lock_guard lock(copies_->mutex);
  std::erase_if(copies_->by_key, [](const auto& item) { return !item.first.is_table; });
}

// Calls function(tensor) once for tensors that are the same elements of a file.
template <typename Function>
void Checkpoint::for_each_distinct(const Function& function) const {
  std::set<std::tuple<const std::byte*, DType, Shape, Shape>> seen;
  for (const auto& [name, tensor] : tensors_) {
    if (seen.emplace(tensor.view.data, tensor.view.dtype, tensor.view.shape, tensor.strides).second) function(tensor);
  }
}

int64_t Checkpoint::parameter_count() const {
  uint64_t count = 0;
  for_each_distinct([&](const StoredTensor& tensor) {
    count = checked_add(count, static_cast<uint64_t>(tensor.view.size())).value_or(INT64_MAX);
  });
  return static_cast<int64_t>(std::min<uint64_t>(count, INT64_MAX));
}

uint64_t Checkpoint::bytes() const {
  uint64_t sum = 0;
  for_each_distinct(
      [&](const StoredTensor& tensor) { sum = checked_add(sum, tensor.view.bytes()).value_or(UINT64_MAX); });
  return sum;
}

}  // namespace remuda::io
