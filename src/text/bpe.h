// Byte-pair encoding: a piece starts as its characters, and the pair of neighbours that stands first in the list of
// merges is made one, again and again (Sennrich et al., https://aclanthology.org/P16-1162).
#pragma once

#include <optional>
#include <string>

#include "base/large_vector.h"
#include "text/model.h"
#include "text/piece_cache.h"

namespace remuda::text {

// What a pair of tokens becomes, and in which order pairs do: the lowest rank first.
class MergeTable {
 public:
  static constexpr int32_t kNone = INT32_MAX;
  struct Merge {
    int32_t rank = kNone;
    int32_t id = -1;
  };

  explicit MergeTable(size_t expected);
  // Of a pair that is there twice the last one counts. False when so many pairs share a hash that the list was made for
  // that: looking them up would take forever.
  bool add(int32_t left, int32_t right, Merge merge);
  // A rank of kNone when there is no such merge.
  Merge find(int32_t left, int32_t right) const;
  size_t bytes() const { return slots_.capacity() * sizeof(Slot); }

 private:
  struct Slot {
    uint64_t pair = kEmpty;
    Merge merge;
  };
  static constexpr uint64_t kEmpty = UINT64_MAX;

  static uint64_t pair_of(int32_t left, int32_t right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  }
  size_t first_slot(uint64_t pair) const;
  size_t slot_of(uint64_t pair) const;

  LargeVector<Slot> slots_;
  int shift_;
};

class Bpe final : public Model {
 public:
  struct Options {
    std::optional<std::string> unknown_token;  // Without it characters that are no tokens disappear.
    std::string continuation_prefix;           // Before each character but the first of a piece.
    std::string end_of_word_suffix;            // After the last.
    bool fuse_unknown = false;                 // One unknown token for neighbours.
    bool byte_fallback = false;                // "<0x0A>" and so on for what is no token.
    bool ignore_merges = false;                // A piece that is a token is this token.
    bool map_bytes = false;                    // Pieces are bytes, which the vocabulary writes as GPT-2 does.
  };
  // Two tokens.
  using Pair = std::pair<std::string_view, std::string_view>;

  // Throws Error(kInvalidFile) when the vocabulary lacks a token that the merges or the options name; `source` names
  // the model.
  Bpe(Vocabulary vocabulary, const LargeVector<Pair>& merges, Options options, const std::string& source);

  void tokenize(std::string_view piece, std::vector<int32_t>& ids) const override;
  const Vocabulary& vocabulary() const override { return vocabulary_; }
  bool keeps_spaces() const override { return true; }
  size_t bytes() const override { return vocabulary_.bytes() + merges_.bytes() + cache_.bytes(); }

 private:
  void tokenize_anew(std::string_view piece, std::vector<int32_t>& ids) const;
  void append_characters(std::string_view piece, std::vector<int32_t>& ids) const;
  void merge_few(std::vector<int32_t>& ids, size_t begin) const;
  void merge_many(std::vector<int32_t>& ids, size_t begin) const;

  Vocabulary vocabulary_;
  Options options_;
  MergeTable merges_;
  std::optional<int32_t> unknown_id_;
  PieceCache cache_;
};

// From tokenizer.json's "model". `map_bytes`: the pieces that it will be given are bytes.
std::unique_ptr<const Model> parse_bpe(const JsonValue& json, bool map_bytes);

// From a model's "merges"; views of its document.
LargeVector<Bpe::Pair> parse_merges(const JsonValue& json);

// Of "left right"; nullopt when that isn't two tokens with a space between them.
std::optional<Bpe::Pair> split_merge(std::string_view line);

}  // namespace remuda::text
