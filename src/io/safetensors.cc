#include "io/safetensors.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/checked_math.h"
#include "base/fail.h"
#include "base/files.h"
#include "base/json.h"

namespace remuda::io {
namespace {

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // The format's own limit.
constexpr size_t kMaxDimensions = 16;
constexpr std::string_view kMetadata = "__metadata__";
constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";

// A tensor's bytes in the data section, and whose they are.
struct Extent {
  uint64_t begin;
  uint64_t end;
  std::string_view name;
};

uint64_t read_header_length(const MappedFile& file) {
  const auto bytes = file.bytes();
  if (bytes.size() < kLengthBytes) {
    fail(ErrorCode::kInvalidFile,
         "{}: expected a safetensors file, found {} bytes, fewer than its header's length takes", file.path().string(),
         bytes.size());
  }
  uint64_t length = 0;
  for (size_t i = kLengthBytes; i-- > 0;) length = length << 8 | std::to_integer<uint64_t>(bytes[i]);
  const uint64_t most = std::min<uint64_t>(bytes.size() - kLengthBytes, kMaxHeaderBytes);
  if (length > most) {
    fail(ErrorCode::kInvalidFile,
         "{}: expected a header of at most {} bytes (the file has {}), found one of {}; the file is cut short or no "
         "safetensors file",
         file.path().string(), most, bytes.size(), length);
  }
  return length;
}

Shape parse_shape(const JsonValue& json) {
  const auto items = json.items();
  if (items.size() > kMaxDimensions) json.fail_expected(fmt::format("at most {} dimensions", kMaxDimensions));
  Shape shape;
  for (const JsonValue& size : items) shape.push_back(size.as_int(0, INT64_MAX));
  return shape;
}

// The bytes that a tensor takes; throws where they can't be counted in 63 bits.
uint64_t byte_count(const JsonValue& json, const Shape& shape, DType dtype) {
  std::optional<uint64_t> bytes = size_of(dtype);
  for (const int64_t size : shape) {
    if (bytes) bytes = checked_mul(*bytes, static_cast<uint64_t>(size));
  }
  if (!bytes || *bytes > INT64_MAX) json.fail_expected("a shape whose size can be counted");
  return *bytes;
}

DType parse_dtype_of(const JsonValue& json) {
  const auto dtype = parse_dtype(json.as_string());
  if (!dtype) json.fail_expected("one of F32, F16, BF16, F64, I8, U8, I16, I32, I64, BOOL");
  return *dtype;
}

Extent parse_extent(const JsonValue& json, uint64_t data_bytes, std::string_view name) {
  const auto offsets = json.items();
  if (offsets.size() != 2) json.fail_expected("two offsets");
  const auto begin = static_cast<uint64_t>(offsets[0].as_int(0, INT64_MAX));
  const auto end = static_cast<uint64_t>(offsets[1].as_int(0, INT64_MAX));
  if (begin > end || end > data_bytes) {
    json.fail_expected(fmt::format("offsets that rise and stay within the {} bytes of data", data_bytes));
  }
  return {begin, end, name};
}

// The tensors' bytes must follow one another and fill the file.
void check_extents(const std::string& file, std::vector<Extent> extents, uint64_t data_bytes) {
  std::ranges::sort(extents, {}, [](const Extent& extent) { return std::pair(extent.begin, extent.end); });
  uint64_t position = 0;
  for (const Extent& extent : extents) {
    if (extent.begin != position) {
      fail(ErrorCode::kInvalidFile,
           "{}: tensor \"{}\": expected its data at offset {}, where the one before ends, found {}", file, extent.name,
           position, extent.begin);
    }
    position = extent.end;
  }
  if (position != data_bytes) {
    fail(ErrorCode::kInvalidFile, "{}: expected {} bytes of tensors, found {}: the file is {}", file, position,
         data_bytes, position < data_bytes ? "larger than its header says" : "cut short");
  }
}

void check_metadata(const JsonValue& json) {
  for (const auto& [key, value] : json.members()) value.as_string();
}

using Tensors = std::map<std::string, TensorView, std::less<>>;

Tensors parse(const MappedFile& file) {
  const uint64_t length = read_header_length(file);
  const auto bytes = file.bytes();
  const std::string_view header(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes, length);
  const auto data = bytes.subspan(kLengthBytes + length);
  const JsonDocument document = JsonDocument::parse(header, file.path().string());

  Tensors tensors;
  std::vector<Extent> extents;
  for (const auto& [name, json] : document.root().members()) {
    if (name == kMetadata) {
      check_metadata(json);
      continue;
    }
    TensorView tensor;
    tensor.dtype = parse_dtype_of(json.at("dtype"));
    tensor.shape = parse_shape(json.at("shape"));
    const uint64_t expected = byte_count(json.at("shape"), tensor.shape, tensor.dtype);
    const Extent extent = parse_extent(json.at("data_offsets"), data.size(), name);
    if (extent.end - extent.begin != expected) {
      json.at("data_offsets")
          .fail_expected(
              fmt::format("{} bytes, what {} of {} take", expected, to_string(tensor.shape), to_string(tensor.dtype)));
    }
    tensor.data = data.data() + extent.begin;
    if (!tensors.emplace(name, std::move(tensor)).second) {
      fail(ErrorCode::kInvalidFile, "{}: tensor \"{}\": expected once, found twice", file.path().string(), name);
    }
    extents.push_back(extent);
  }
  check_extents(file.path().string(), std::move(extents), data.size());
  return tensors;
}

// A shard's name must be that of a file in the same directory.
void check_shard_name(const JsonValue& json) {
  const std::filesystem::path name(json.as_string());
  if (name.empty() || name.filename() != name || name == "." || name == "..") {
    json.fail_expected("the name of a file in the same directory");
  }
}

[[noreturn]] void fail_no_weights(const std::filesystem::path& directory) {
  if (file_exists(directory / "pytorch_model.bin")) {
    fail(ErrorCode::kUnsupported,
         "{}: expected model.safetensors, found pytorch_model.bin, a pickle that could run code; convert it once with "
         "Python: transformers.AutoModel.from_pretrained(DIR).save_pretrained(DIR)",
         directory.string());
  }
  fail(ErrorCode::kNotFound, "{}: expected {} or {}, found neither", directory.string(), kSingleFile, kIndexFile);
}

}  // namespace

Checkpoint Checkpoint::open_file(const std::filesystem::path& path) {
  Checkpoint checkpoint;
  checkpoint.files_.emplace_back(path);
  checkpoint.tensors_ = parse(checkpoint.files_.back());
  for (const auto& [name, tensor] : checkpoint.tensors_) checkpoint.file_of_.emplace(name, path.string());
  return checkpoint;
}

Checkpoint Checkpoint::open(const std::filesystem::path& model_directory) {
  if (file_exists(model_directory / kSingleFile)) return open_file(model_directory / kSingleFile);
  const auto index_path = model_directory / kIndexFile;
  if (!file_exists(index_path)) fail_no_weights(model_directory);

  const JsonDocument index = JsonDocument::parse_file(index_path, kMaxHeaderBytes);
  std::map<std::string, Checkpoint, std::less<>> shards;
  Checkpoint checkpoint;
  for (const auto& [name, json] : index.root().at("weight_map").members()) {
    check_shard_name(json);
    const std::string shard_name(json.as_string());
    auto shard = shards.find(shard_name);
    if (shard == shards.end()) shard = shards.emplace(shard_name, open_file(model_directory / shard_name)).first;
    const TensorView* tensor = shard->second.find(name);
    if (tensor == nullptr) {
      fail(ErrorCode::kInvalidFile, "{}: expected the tensor \"{}\" in {}, found none there", index_path.string(), name,
           shard_name);
    }
    checkpoint.tensors_.emplace(name, *tensor);
    checkpoint.file_of_.emplace(name, shard->second.files_.front().path().string());
  }
  for (auto& [name, shard] : shards) checkpoint.files_.push_back(std::move(shard.files_.front()));
  return checkpoint;
}

const TensorView* Checkpoint::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

const TensorView& Checkpoint::get(std::string_view name, const Shape& shape) const {
  const TensorView* tensor = find(name);
  if (tensor == nullptr) {
    const std::string file = files_.empty() ? "the checkpoint" : files_.front().path().string();
    fail(ErrorCode::kInvalidFile, "{}: expected a tensor \"{}\" of shape {}, found none of that name", file, name,
         to_string(shape));
  }
  const std::string& file = file_of_.find(name)->second;
  if (tensor->shape != shape) {
    fail(ErrorCode::kInvalidFile, "{}: tensor \"{}\": expected the shape {}, found {}", file, name, to_string(shape),
         to_string(tensor->shape));
  }
  if (tensor->dtype != DType::kF32 && tensor->dtype != DType::kF16 && tensor->dtype != DType::kBF16) {
    fail(ErrorCode::kUnsupported, "{}: tensor \"{}\": expected the dtype F32, F16 or BF16, found {}", file, name,
         to_string(tensor->dtype));
  }
  return *tensor;
}

void Checkpoint::check_unwritten() const {
  for (const MappedFile& file : files_) file.check_unwritten();
}

void Checkpoint::drop_pages(const TensorView& tensor) const {
  for (const MappedFile& file : files_) {
    const auto bytes = file.bytes();
    if (tensor.data < bytes.data() || tensor.data >= bytes.data() + bytes.size()) continue;
    file.drop_pages({tensor.data, tensor.bytes()});
  }
}

void Checkpoint::drop_pages() const {
  for (const MappedFile& file : files_) file.drop_pages(file.bytes());
}

int64_t Checkpoint::parameter_count() const {
  int64_t count = 0;
  for (const auto& [name, tensor] : tensors_) count += tensor.size();
  return count;
}

uint64_t Checkpoint::bytes() const {
  uint64_t sum = 0;
  for (const auto& [name, tensor] : tensors_) sum += tensor.bytes();
  return sum;
}

}  // namespace remuda::io
