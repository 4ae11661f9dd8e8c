// SentencePiece's normalization: rules "these characters become those", compiled into a double-array trie of the
// left sides and a list of the right sides (its normalizer.cc, and https://github.com/s-yata/darts-clone).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/large_vector.h"

namespace remuda::text {

// Immutable.
class CharacterMap {
 public:
  // From the bytes that a SentencePiece model keeps: the size of the trie in bytes, its units, and the right sides,
  // each ended by a NUL; numbers of 32 bits, little-endian. Throws Error(kInvalidFile), naming `source`, for bytes that
  // end early, lead out of the trie or the right sides, or are no UTF-8.
  CharacterMap(std::string_view bytes, const std::string& source);

  // What the shortest left side that `text` starts with becomes.
  std::optional<std::string_view> find(std::string_view text) const;

 private:
  void check_reachable(const std::string& source) const;
  std::string_view right_side(uint32_t offset) const;

  LargeVector<uint32_t> units_;
  LargeString right_sides_;
};

// The rules, applied as Hugging Face does it (crate spm_precompiled): to a grapheme cluster of less than 6 bytes as a
// whole, where the shortest rule that it starts with replaces all of it; else to each of its characters.
class Precompiled {
 public:
  explicit Precompiled(std::shared_ptr<const CharacterMap> map);
  // It stops once `out` is longer than `max_bytes`, for the caller to refuse.
  void normalize(std::string_view text, std::string& out, size_t max_bytes) const;

 private:
  void normalize_cluster(std::string_view cluster, std::string& out) const;

  std::shared_ptr<const CharacterMap> map_;
  std::array<std::optional<std::string_view>, 128> ascii_;
};

// From the fields of a Precompiled: its map in base 64.
Precompiled parse_precompiled(const JsonValue& json);

}  // namespace remuda::text
