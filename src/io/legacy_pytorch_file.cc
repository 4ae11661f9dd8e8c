// The format is _legacy_save's and _legacy_load's in torch/serialization.py: pickles of a magic number, of the
// protocol's version, of the machine's properties, of the object and of the list of storages' keys; then the storages
// in that order, each a 64-bit number of elements and their bytes.
#include <map>
#include <string_view>

#include "base/checked_math.h"
#include "base/fail.h"
#include "io/little_endian.h"
#include "io/pytorch_tensors.h"

namespace remuda::io {
namespace {

using Kind = PickleValue::Kind;
using Bytes = std::span<const std::byte>;

// 0x1950a86a20f9469cfc6c, little-endian.
constexpr std::string_view kMagic("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10);
constexpr std::string_view kMagicInText = "119547037146038801333356";
constexpr int64_t kProtocol = 1001;
constexpr size_t kMagicBytes = 1 << 16;  // The first pickle is much shorter.

[[noreturn]] void fail_other(const std::string& path) {
  fail(
      ErrorCode::kInvalidFile,
      "{}: expected a file that torch.save wrote, found other bytes; the file is damaged, a pointer to another file or "
      "of another format",
      path);
}

void check_magic(Bytes file, size_t& position, const std::string& path) {
  try {
    const Pickle magic = read_pickle(file.first(std::min(file.size(), kMagicBytes)), position, path);
    if (magic.is(magic.root, kMagic) || magic.is(magic.root, kMagicInText)) return;
  } catch (const Error& error) {
    // A global is named, whatever the rest is; of other bytes, which opcode they would be says nothing.
    if (std::string_view(error.what()).find("the global ") != std::string_view::npos) throw;
  }
  fail_other(path);
}

void check_machine(const Pickle& machine, const std::string& path) {
  if (machine.root.kind != Kind::kDict) fail_other(path);
  const auto& values = machine.sequences[machine.root.index()];
  for (size_t i = 0; i < values.size(); i += 2) {
    if (!machine.is(values[i], "little_endian")) continue;
    if (values[i + 1].kind == Kind::kBool && values[i + 1].number != 0) return;
    fail(ErrorCode::kUnsupported, "{}: expected numbers in little-endian order, found them in big-endian order", path);
  }
  fail_other(path);
}

}  // namespace

StoredTensors read_legacy_pytorch_file(Bytes file, const std::string& path) {
  size_t position = 0;
  check_magic(file, position, path);
  const Pickle protocol = read_pickle(file, position, path);
  if (protocol.root.kind != Kind::kInt || protocol.root.number != kProtocol) {
    fail(ErrorCode::kUnsupported, "{}: expected the version {} of torch.save's older format, found another", path,
         kProtocol);
  }
  check_machine(read_pickle(file, position, path), path);
  const Pickle object = read_pickle(file, position, path);
  const Pickle keys = read_pickle(file, position, path);
  if (keys.root.kind != Kind::kList && keys.root.kind != Kind::kTuple) fail_other(path);

  std::map<std::string_view, const PickledStorage*> storages;
  for (const PickledStorage& storage : object.storages) storages.emplace(storage.key, &storage);
  StoragePlaces places;
  for (const PickleValue value : keys.sequences[keys.root.index()]) {
    if (value.kind != Kind::kString) fail_other(path);
    const std::string_view key = keys.strings[value.index()];
    const auto storage = storages.find(key);
    if (storage == storages.end()) {
      fail(ErrorCode::kInvalidFile, "{}: storage {}: expected a tensor of it, found none", path, key);
    }
    const size_t left = file.size() - position;
    const uint64_t count = left < sizeof(uint64_t) ? 0 : read_little<uint64_t>(file, position);
    const ElementType* type = storage->second->type;
    const auto bytes = checked_mul(count, type == nullptr ? 1 : type->size);
    if (left < sizeof(uint64_t) || !bytes || *bytes > left - sizeof(uint64_t)) {
      fail(ErrorCode::kInvalidFile,
           "{}: storage {}: expected its {} elements inside the file, found {} bytes left: it "
           "is cut short",
           path, key, count, left);
    }
    if (!places.emplace(std::string(key), file.subspan(position + sizeof(uint64_t), *bytes)).second) {
      fail(ErrorCode::kInvalidFile, "{}: storage {}: expected once, found twice", path, key);
    }
    position += sizeof(uint64_t) + *bytes;
  }
  return build_tensors(object, places, path);
}

}  // namespace remuda::io
