#include "io/safetensors.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "base/checked_math.h"
#include "base/fail.h"
#include "base/json.h"

namespace remuda::io {
namespace {

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // The format's own limit.
constexpr size_t kMaxDimensions = 16;
constexpr std::string_view kMetadata = "__metadata__";

// Types that the format has and this program doesn't compute with, with their bits an element.
struct OtherType {
  std::string_view name;
  uint64_t bits;
};
constexpr std::array<OtherType, 13> kOtherTypes = {{{"F8_E4M3", 8},
                                                    {"F8_E5M2", 8},
                                                    {"F8_E8M0", 8},
                                                    {"F8_E4M3FNUZ", 8},
                                                    {"F8_E5M2FNUZ", 8},
                                                    {"F6_E2M3", 6},
                                                    {"F6_E3M2", 6},
                                                    {"F4", 4},
                                                    {"F4_E2M1", 4},
                                                    {"C64", 64},
                                                    {"U16", 16},
                                                    {"U32", 32},
                                                    {"U64", 64}}};

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

// A tensor's type and shape. One of a type that this program doesn't know is no error where nobody uses it.
StoredTensor parse_type(const JsonValue& json) {
  StoredTensor tensor;
  const std::string_view name = json.at("dtype").as_string();
  const auto dtype = parse_dtype(name);
  tensor.view.dtype = dtype.value_or(DType::kU8);
  if (!dtype) tensor.unreadable = name;
  tensor.view.shape = parse_shape(json.at("shape"));
  return tensor;
}

// The bytes that a tensor takes, empty for a type of unknown size; throws where they can't be counted in 63 bits.
std::optional<uint64_t> byte_count(const JsonValue& json, const StoredTensor& tensor) {
  uint64_t bits = 8 * size_of(tensor.view.dtype);
  const auto other = std::ranges::find(kOtherTypes, tensor.unreadable, &OtherType::name);
  if (other != kOtherTypes.end()) bits = other->bits;
  std::optional<uint64_t> elements = 1;
  for (const int64_t size : tensor.view.shape) {
    if (elements) elements = checked_mul(*elements, static_cast<uint64_t>(size));
  }
  const std::optional<uint64_t> sum = elements ? checked_mul(*elements, bits) : std::nullopt;
  if (!sum) json.fail_expected("a shape whose size can be counted");
  if (!tensor.unreadable.empty() && other == kOtherTypes.end()) return std::nullopt;
  return (*sum + 7) / 8;
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

}  // namespace

StoredTensors read_safetensors(const MappedFile& file) {
  const uint64_t length = read_header_length(file);
  const auto bytes = file.bytes();
  const std::string_view header(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes, length);
  const auto data = bytes.subspan(kLengthBytes + length);
  const JsonDocument document = JsonDocument::parse(header, file.path().string());

  StoredTensors tensors;
  std::vector<Extent> extents;
  for (const auto& [name, json] : document.root().members()) {
    if (name == kMetadata) {
      check_metadata(json);
      continue;
    }
    StoredTensor tensor = parse_type(json);
    const std::optional<uint64_t> expected = byte_count(json.at("shape"), tensor);
    const Extent extent = parse_extent(json.at("data_offsets"), data.size(), name);
    if (expected && extent.end - extent.begin != *expected) {
      json.at("data_offsets")
          .fail_expected(fmt::format("{} bytes, what {} of {} take", *expected, to_string(tensor.view.shape),
                                     json.at("dtype").as_string()));
    }
    tensor.view.data = data.data() + extent.begin;
    if (!tensors.emplace(name, std::move(tensor)).second) {
      fail(ErrorCode::kInvalidFile, "{}: tensor \"{}\": expected once, found twice", file.path().string(), name);
    }
    extents.push_back(extent);
  }
  check_extents(file.path().string(), std::move(extents), data.size());
  return tensors;
}

}  // namespace remuda::io
