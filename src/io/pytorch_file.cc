#include "io/pytorch_file.h"

#include <string_view>

#include "base/fail.h"
#include "io/pickle.h"
#include "io/pytorch_tensors.h"
#include "io/zip_directory.h"

namespace remuda::io {
namespace {

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// All entries lie in one folder, whose name is the file's that was written first.
StoredTensors read_archive(std::span<const std::byte> file, const std::string& path) {
  const ZipDirectory archive = read_zip_directory(file, path);
  const size_t slash = archive.first.find('/');
  const std::string root = slash == std::string::npos ? "" : archive.first.substr(0, slash + 1);
  const auto object = archive.entries.find(root + "data.pkl");
  if (object == archive.entries.end()) {
    fail(ErrorCode::kInvalidFile, "{}: expected the entry {}data.pkl, as torch.save writes it, found none", path, root);
  }
  const auto order = archive.entries.find(root + "byteorder");
  if (order != archive.entries.end() && text_of(order->second) != "little") {
    fail(ErrorCode::kUnsupported, "{}: entry {}: expected \"little\", found \"{}\"", path, order->first,
         text_of(order->second.first(std::min<size_t>(order->second.size(), 16))));
  }
  const std::string data = root + "data/";
  StoragePlaces places;
  for (auto entry = archive.entries.lower_bound(data); entry != archive.entries.end() && entry->first.starts_with(data);
       ++entry) {
    places.emplace_hint(places.end(), entry->first.substr(data.size()), entry->second);
  }
  size_t position = 0;
  const Pickle pickle = read_pickle(object->second, position, fmt::format("{}: entry {}", path, object->first));
  return build_tensors(pickle, places, path);
}

}  // namespace

StoredTensors read_pytorch_file(const MappedFile& file) {
  const std::string path = file.path().string();
  return is_zip(file.bytes()) ? read_archive(file.bytes(), path) : read_legacy_pytorch_file(file.bytes(), path);
}

}  // namespace remuda::io
