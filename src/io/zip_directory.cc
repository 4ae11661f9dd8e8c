#include "io/zip_directory.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

#include "base/checked_math.h"
#include "base/fail.h"
#include "io/little_endian.h"

namespace remuda::io {
namespace {

constexpr uint32_t kLocalSignature = 0x04034b50;
constexpr uint32_t kCentralSignature = 0x02014b50;
constexpr uint32_t kEndSignature = 0x06054b50;
constexpr uint32_t kEnd64Signature = 0x06064b50;
constexpr uint32_t kLocator64Signature = 0x07064b50;
constexpr size_t kLocalBytes = 30;
constexpr size_t kCentralBytes = 46;
constexpr size_t kEndBytes = 22;
constexpr size_t kEnd64Bytes = 56;
constexpr size_t kLocator64Bytes = 20;
constexpr size_t kMaxComment = 0xffff;
constexpr uint64_t kMaxEntries = 1 << 20;
constexpr uint16_t kEncrypted = 1;      // A flag.
constexpr uint16_t kZip64Extra = 1;     // The id of an extra field.
constexpr uint32_t kIn64 = UINT32_MAX;  // In place of a number that stands in the zip64 field.
constexpr std::string_view kCut = "the file is cut short or no zip archive";

using Bytes = std::span<const std::byte>;

// Where the central directory is.
struct Directory {
  uint64_t entries;
  uint64_t bytes;
  uint64_t offset;
};

struct Entry {
  std::string name;
  uint64_t compressed;
  uint64_t size;
  uint64_t header;  // The local header's offset.
  uint16_t method;
  uint16_t flags;
};

// The bytes that an entry takes with its local header, for the check that entries don't overlap.
struct Extent {
  uint64_t begin;
  uint64_t end;
  std::string_view name;
};

class Reader {
 public:
  Reader(Bytes file, const std::string& path) : file_(file), path_(path) {}

  ZipDirectory read() {
    const Directory directory = find_directory();
    ZipDirectory result;
    std::vector<Extent> extents;
    uint64_t position = directory.offset;
    const uint64_t end = directory.offset + directory.bytes;
    for (uint64_t i = 0; i < directory.entries; ++i) {
      Entry entry = read_central(position, end);
      if (i == 0) result.first = entry.name;
      if (entry.name.ends_with('/')) continue;  // A folder.
      const auto [begin, data] = find_data(entry, directory.offset);
      const auto [item, is_new] = result.entries.emplace(entry.name, data);
      if (!is_new) fail(ErrorCode::kInvalidFile, "{}: entry {}: expected once, found twice", path_, entry.name);
      extents.push_back({begin, static_cast<uint64_t>(data.data() - file_.data()) + data.size(), item->first});
    }
    check_overlap(std::move(extents));
    return result;
  }

 private:
  [[noreturn]] void fail_damaged(std::string_view expected, std::string_view found) const {
    fail(ErrorCode::kInvalidFile, "{}: expected {}, found {}; {}", path_, expected, found, kCut);
  }

  size_t find_end() const {
    if (file_.size() >= kEndBytes) {
      const size_t last = file_.size() - kEndBytes;
      const size_t first = last > kMaxComment ? last - kMaxComment : 0;
      for (size_t at = last + 1; at-- > first;) {
        if (read_little<uint32_t>(file_, at) != kEndSignature) continue;
        if (read_little<uint16_t>(file_, at + 20) == last - at) return at;
      }
    }
    fail_damaged("a zip archive's central directory at the file's end", "none");
  }

  Directory find_directory() const {
    const size_t end = find_end();
    Directory directory{read_little<uint16_t>(file_, end + 10), read_little<uint32_t>(file_, end + 12),
                        read_little<uint32_t>(file_, end + 16)};
    uint64_t limit = end;
    const bool in_64 = directory.entries == UINT16_MAX || directory.bytes == kIn64 || directory.offset == kIn64;
    if (in_64) {
      if (end < kLocator64Bytes || read_little<uint32_t>(file_, end - kLocator64Bytes) != kLocator64Signature) {
        fail_damaged("a zip64 locator before the end of the central directory", "none");
      }
      limit = read_little<uint64_t>(file_, end - kLocator64Bytes + 8);
      const uint64_t most = end - kLocator64Bytes;
      if (limit > most || most - limit < kEnd64Bytes || read_little<uint32_t>(file_, limit) != kEnd64Signature) {
        fail_damaged("a zip64 end of the central directory", "none where its locator points");
      }
      directory = {read_little<uint64_t>(file_, limit + 32), read_little<uint64_t>(file_, limit + 40),
                   read_little<uint64_t>(file_, limit + 48)};
    }
    if (directory.offset > limit || directory.bytes > limit - directory.offset) {
      fail_damaged("a central directory inside the file",
                   fmt::format("one of {} bytes at {}", directory.bytes, directory.offset));
    }
    if (directory.entries > std::min(kMaxEntries, directory.bytes / kCentralBytes)) {
      fail_damaged(fmt::format("at most {} entries in {} bytes of central directory", kMaxEntries, directory.bytes),
                   fmt::format("{}", directory.entries));
    }
    return directory;
  }

  // Reads the entry at `position` and moves on to the next one.
  Entry read_central(uint64_t& position, uint64_t end) const {
    if (end - position < kCentralBytes || read_little<uint32_t>(file_, position) != kCentralSignature) {
      fail_damaged(fmt::format("an entry of the central directory at {}", position), "none");
    }
    const Bytes header = file_.subspan(position);
    const uint64_t name = read_little<uint16_t>(header, 28);
    const uint64_t extra = read_little<uint16_t>(header, 30);
    const uint64_t all = kCentralBytes + name + extra + read_little<uint16_t>(header, 32);
    if (all > end - position) {
      fail_damaged(fmt::format("the entry at {} to end with the central directory", position), "a longer one");
    }
    Entry entry{.name = {reinterpret_cast<const char*>(header.data()) + kCentralBytes, name},
                .compressed = read_little<uint32_t>(header, 20),
                .size = read_little<uint32_t>(header, 24),
                .header = read_little<uint32_t>(header, 42),
                .method = read_little<uint16_t>(header, 10),
                .flags = read_little<uint16_t>(header, 8)};
    read_zip64(entry, header.subspan(kCentralBytes + name, extra));
    position += all;
    return entry;
  }

  // Numbers of more than 32 bits stand in an extra field, those that need it, in this order.
  void read_zip64(Entry& entry, Bytes extra) const {
    while (extra.size() >= 4) {
      const uint16_t id = read_little<uint16_t>(extra, 0);
      const size_t size = read_little<uint16_t>(extra, 2);
      if (size > extra.size() - 4) return;  // Padding of some writers; a number that is missing is found below.
      Bytes field = extra.subspan(4, size);
      extra = extra.subspan(4 + size);
      if (id != kZip64Extra) continue;
      for (uint64_t* number : {&entry.size, &entry.compressed, &entry.header}) {
        if (*number != kIn64) continue;
        if (field.size() < sizeof(uint64_t)) {
          fail(ErrorCode::kInvalidFile, "{}: entry {}: expected its size in the zip64 field, found none", path_,
               entry.name);
        }
        *number = read_little<uint64_t>(field, 0);
        field = field.subspan(sizeof(uint64_t));
      }
      return;
    }
  }

  // The offset of the entry's local header, and its data.
  std::pair<uint64_t, Bytes> find_data(const Entry& entry, uint64_t limit) const {
    if (entry.method != 0 || entry.flags & kEncrypted) {
      fail(
          ErrorCode::kUnsupported,
          "{}: entry {}: expected it stored, as torch.save writes it, found it {}; write the file anew with torch.save",
          path_, entry.name, entry.method != 0 ? "compressed" : "encrypted");
    }
    if (entry.compressed != entry.size) {
      fail(ErrorCode::kInvalidFile, "{}: entry {}: expected its {} bytes stored, found {}", path_, entry.name,
           entry.size, entry.compressed);
    }
    if (entry.header > limit || limit - entry.header < kLocalBytes ||
        read_little<uint32_t>(file_, entry.header) != kLocalSignature) {
      fail(ErrorCode::kInvalidFile, "{}: entry {}: expected its header inside the file, found none at {}", path_,
           entry.name, entry.header);
    }
    const uint64_t name = read_little<uint16_t>(file_, entry.header + 26);
    const uint64_t begin = entry.header + kLocalBytes + name + read_little<uint16_t>(file_, entry.header + 28);
    if (begin > limit || entry.size > limit - begin) {
      fail(ErrorCode::kInvalidFile, "{}: entry {}: expected its {} bytes inside the file, found them to reach beyond",
           path_, entry.name, entry.size);
    }
    const auto* own = reinterpret_cast<const char*>(file_.data() + entry.header + kLocalBytes);
    if (std::string_view(own, name) != entry.name || read_little<uint16_t>(file_, entry.header + 8) != 0) {
      fail(ErrorCode::kInvalidFile, "{}: entry {}: expected the same name and kind before its data, found others",
           path_, entry.name);
    }
    return {entry.header, file_.subspan(begin, entry.size)};
  }

  void check_overlap(std::vector<Extent> extents) const {
    std::ranges::sort(extents, {}, &Extent::begin);
    for (size_t i = 1; i < extents.size(); ++i) {
      if (extents[i].begin >= extents[i - 1].end) continue;
      fail(ErrorCode::kInvalidFile, "{}: entry {}: expected bytes of its own, found some of the entry {}", path_,
           extents[i].name, extents[i - 1].name);
    }
  }

  const Bytes file_;
  const std::string& path_;
};

}  // namespace

bool is_zip(std::span<const std::byte> file) {
  return file.size() >= sizeof(uint32_t) && read_little<uint32_t>(file, 0) == kLocalSignature;
}

ZipDirectory read_zip_directory(std::span<const std::byte> file, const std::string& path) {
  return Reader(file, path).read();
}

}  // namespace remuda::io
