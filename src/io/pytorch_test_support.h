// Files of torch.save, whole or damaged, made by hand.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace remuda::io {

template <typename T>
std::string little(T value) {
  std::string bytes(sizeof(value), '\0');
  std::memcpy(bytes.data(), &value, sizeof(value));
  return bytes;
}

struct ZipEntry {
  std::string name;
  std::string data;
  uint16_t method = 0;
  uint64_t claimed = UINT64_MAX;  // The size that the directory says; UINT64_MAX: the true one.
  uint64_t place = UINT64_MAX;    // The offset that the directory says; UINT64_MAX: the true one.
  std::string local_name = {};    // Empty: the same.
  uint16_t flags = 0;
};

// A zip archive; `in_64`: all sizes are in zip64 fields.
inline std::string zip_of(const std::vector<ZipEntry>& entries, bool in_64 = false) {
  std::string file, directory;
  for (const ZipEntry& entry : entries) {
    const uint64_t place = entry.place == UINT64_MAX ? file.size() : entry.place;
    const uint64_t size = entry.claimed == UINT64_MAX ? entry.data.size() : entry.claimed;
    const std::string& name = entry.local_name.empty() ? entry.name : entry.local_name;
    const auto size32 = static_cast<uint32_t>(in_64 ? UINT32_MAX : size);
    const std::string kind = little<uint16_t>(45) + little(entry.flags) + little(entry.method) + little<uint32_t>(0) +
                             little<uint32_t>(0) + little(size32) + little(size32);
    const std::string extra =
        in_64 ? little<uint16_t>(1) + little<uint16_t>(24) + little(size) + little(size) + little(place)
              : std::string();
    file += "PK\3\4" + kind + little(static_cast<uint16_t>(name.size())) + little<uint16_t>(0) + name + entry.data;
    directory += "PK\1\2" + little<uint16_t>(45) + kind + little(static_cast<uint16_t>(entry.name.size())) +
                 little(static_cast<uint16_t>(extra.size())) + std::string(10, '\0') +
                 little(in_64 ? UINT32_MAX : static_cast<uint32_t>(place)) + entry.name + extra;
  }
  const uint64_t offset = file.size(), bytes = directory.size(), count = entries.size();
  file += directory;
  if (in_64) {
    const uint64_t end = file.size();
    file += "PK\6\6" + little<uint64_t>(44) + little<uint16_t>(45) + little<uint16_t>(45) + little<uint64_t>(0) +
            little(count) + little(count) + little(bytes) + little(offset);
    file += "PK\6\7" + little<uint32_t>(0) + little(end) + little<uint32_t>(1);
  }
  const auto short_count = static_cast<uint16_t>(in_64 ? UINT16_MAX : count);
  return file + "PK\5\6" + little<uint32_t>(0) + little(short_count) + little(short_count) +
         little(in_64 ? UINT32_MAX : static_cast<uint32_t>(bytes)) +
         little(in_64 ? UINT32_MAX : static_cast<uint32_t>(offset)) + little<uint16_t>(0);
}

namespace pickles {

inline std::string text(std::string_view value) {
  return "X" + little(static_cast<uint32_t>(value.size())) + std::string(value);
}
inline std::string integer(int64_t value) { return std::string("\x8a\x08") + little(value); }
inline std::string global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
inline std::string tuple(const std::vector<std::string>& items) {
  std::string all = "(";
  for (const std::string& item : items) all += item;
  return all + "t";
}
inline std::string integers(const std::vector<int64_t>& values) {
  std::vector<std::string> items;
  for (const int64_t value : values) items.push_back(integer(value));
  return tuple(items);
}
inline std::string storage(const std::string& type, const std::string& key, int64_t count) {
  return tuple({text("storage"), global("torch", type), text(key), text("cpu"), integer(count)}) + "Q";
}
inline std::string tensor(const std::string& of_storage, int64_t offset, const std::vector<int64_t>& shape,
                          const std::vector<int64_t>& strides) {
  return global("torch._utils", "_rebuild_tensor_v2") +
         tuple({of_storage, integer(offset), integers(shape), integers(strides), "\x89",
                global("collections", "OrderedDict") + ")R"}) +
         "R";
}
inline std::string dictionary(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string all = "}(";
  for (const auto& [name, value] : items) all += text(name) + value;
  return all + "u";
}
// The protocol, a value, STOP.
inline std::string whole(const std::string& value) { return "\x80\x02" + value + "."; }

}  // namespace pickles

// An archive of this pickle and of one storage, "0".
inline std::string archive_of(const std::string& pickle, const std::string& data = std::string(64, '\0')) {
  return zip_of({{"m/data.pkl", pickle}, {"m/byteorder", "little"}, {"m/data/0", data}, {"m/version", "3\n"}});
}

}  // namespace remuda::io
