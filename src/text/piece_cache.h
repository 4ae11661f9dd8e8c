// What short pieces of text were tokenized to, for a Model whose work on one is long next to a look-up.
//
// A table of fixed size, a slot for each hash; the piece that came last has it. Any number of threads read and write at
// once and none ever waits: each slot is guarded by a sequence number, odd while it is written, and who finds it
// changed takes it for a miss. (Every word of a slot is an atomic, with the orders of Boehm, "Can seqlocks get along
// with programming language memory models?", MSPC 2012, so that this is no data race. On x86-64 all of them are plain
// moves.) Ids never depend on it: a hit is the very piece.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace remuda::text {

class PieceCache {
 public:
  static constexpr size_t kMaxPieceBytes = 24;
  static constexpr size_t kMaxIds = 8;

  PieceCache();

  // Appends the ids of `piece`, if they are known.
  bool find(std::string_view piece, std::vector<int32_t>& ids) const;
  // Remembers them; a piece that is longer than a slot is not kept.
  void insert(std::string_view piece, std::span<const int32_t> ids) const;
  size_t bytes() const { return kSlots * sizeof(Slot); }

 private:
  static constexpr size_t kSlots = size_t{1} << 15;
  static constexpr size_t kKeyWords = kMaxPieceBytes / 8;
  static constexpr size_t kIdWords = kMaxIds / 2;

  // A cache line.
  struct alignas(64) Slot {
    // Sequence number, then 8 bits for the length of the piece, 8 bits for the number of ids; 0 for an empty slot.
    std::atomic<uint64_t> head{0};
    std::array<std::atomic<uint64_t>, kKeyWords> key{};
    std::array<std::atomic<uint64_t>, kIdWords> ids{};
  };
  using Key = std::array<uint64_t, kKeyWords>;

  static Key key_of(std::string_view piece);
  Slot& slot_of(const Key& key, size_t length) const;

  std::unique_ptr<Slot[]> slots_;
};

}  // namespace remuda::text
