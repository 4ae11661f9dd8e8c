// The bytes of a packed file's header and table.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/checksum.h"

namespace remuda::io {

static_assert(std::endian::native == std::endian::little, "numbers are written as they are in memory");

inline constexpr std::array<char, 8> kPackedMagic = {'r', 'e', 'm', 'u', 'd', 'a', 'P', 'W'};

struct PackedHeader {
  std::array<char, 8> magic = kPackedMagic;
  uint32_t version = 0;
  uint32_t unused = 0;
  uint64_t table_offset = 0;
  uint64_t table_bytes = 0;  // The table ends where the file does.
  uint64_t table_checksum = 0;
  uint64_t checksum = 0;  // own_checksum()

  // Of what stands before it.
  uint64_t own_checksum() const {
    return remuda::checksum(std::as_bytes(std::span(this, 1)).first(sizeof(PackedHeader) - sizeof(checksum)));
  }
};
static_assert(sizeof(PackedHeader) == 48, "without padding");

class PackedTableWriter {
 public:
  void number(uint64_t value) { bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value)); }
  void string(std::string_view text) {
    number(text.size());
    bytes_.append(text);
  }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// Reads what is there; from the first number or string that isn't, all are 0 or empty, and failed() says so.
class PackedTableReader {
 public:
  explicit PackedTableReader(std::span<const std::byte> bytes) : rest_(bytes) {}

  uint64_t number() {
    uint64_t value = 0;
    const auto bytes = take(sizeof(value));
    if (!bytes.empty()) std::memcpy(&value, bytes.data(), sizeof(value));
    return value;
  }
  std::string_view string() {
    const auto bytes = take(number());
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  bool failed() const { return failed_; }
  bool at_end() const { return rest_.empty(); }

 private:
  std::span<const std::byte> take(uint64_t size) {
    if (size > rest_.size()) failed_ = true;
    if (failed_) return {};
    const auto taken = rest_.first(size);
    rest_ = rest_.subspan(size);
    return taken;
  }

  std::span<const std::byte> rest_;
  bool failed_ = false;
};

}  // namespace remuda::io
