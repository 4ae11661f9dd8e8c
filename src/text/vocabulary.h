// Tokens by text and by id. Built once, then immutable.
//
// Lookup is by a hash that goes byte by byte, so that the hashes of all prefixes of a word come out of one walk over
// it: what a longest-match search wants.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/large_vector.h"

namespace remuda::text {

class Vocabulary {
 public:
  // Far above any real vocabulary; what keeps a file of a few bytes from asking for gigabytes.
  static constexpr int32_t kMaxId = (1 << 22) - 1;
  static constexpr size_t kMaxTokenBytes = 4096;

  struct Hash {
    uint64_t value = 0xCBF29CE484222325u;
    // FNV-1a.
    void add(char byte) { value = (value ^ static_cast<unsigned char>(byte)) * 0x100000001B3u; }
    void add(std::string_view bytes) {
      for (const char byte : bytes) add(byte);
    }
  };

  Vocabulary() = default;
  // `source` names the tokens in errors. `expected` is the number of tokens to make room for.
  Vocabulary(std::string source, size_t expected);

  // Throws Error(kInvalidFile) when the token or the id is there already, the id is out of range, or the token too
  // long.
  void add(std::string_view token, int64_t id);
  // A text that `add` has got, or will get, with another id, which `find` gives. An id alone leads to this one.
  void add_shadowed(std::string_view token, int64_t id);

  std::optional<int32_t> find(std::string_view token) const;
  // The id of the token prefix + piece, whose hash is `hash`, or -1.
  int32_t find(Hash hash, std::string_view prefix, std::string_view piece) const;
  std::optional<std::string_view> token(int32_t id) const;

  // Tokens; ids may have gaps, so that the largest one plus one (`id_limit`) can be more.
  size_t size() const { return size_; }
  int32_t id_limit() const { return static_cast<int32_t>(tokens_.size()); }
  size_t max_token_bytes() const { return max_token_bytes_; }
  size_t bytes() const;

 private:
  // An empty slot has id -1.
  struct Slot {
    uint32_t tag = 0;
    int32_t id = -1;
  };
  struct Token {
    uint32_t offset = 0;
    int32_t length = -1;  // -1: no token has this id.
  };

  static uint64_t mix(Hash hash) { return hash.value * 0x9E3779B97F4A7C15u; }
  static uint32_t tag_of(uint64_t mixed) { return static_cast<uint32_t>(mixed); }
  size_t first_slot(uint64_t mixed) const { return mixed >> shift_; }
  std::string_view text_of(int32_t id) const {
    return std::string_view(texts_).substr(tokens_[id].offset, static_cast<size_t>(tokens_[id].length));
  }
  void check(std::string_view token, int64_t id) const;
  void store(std::string_view token, int64_t id);
  void insert(uint64_t mixed, int32_t id);
  void grow();

  std::string source_;
  LargeString texts_;
  LargeVector<Token> tokens_;
  LargeVector<Slot> slots_;
  int shift_ = 64;
  size_t size_ = 0;
  size_t max_token_bytes_ = 0;
};

// From a model's "vocab", an object of ids by token. Throws Error(kInvalidFile).
Vocabulary parse_vocabulary(const JsonValue& json);

}  // namespace remuda::text
