#include "text/piece_cache.h"

#include <bit>
#include <cstring>

namespace remuda::text {
namespace {

constexpr uint64_t kWritten = uint64_t{1} << 16;
constexpr uint64_t kSizes = kWritten - 1;

template <typename Word>
uint64_t load(const char* bytes) {
  Word word;
  std::memcpy(&word, bytes, sizeof(Word));
  return word;
}

// The first 8 bytes of what is left, with zeros for those that aren't there.
uint64_t load_padded(std::string_view bytes) {
  static_assert(std::endian::native == std::endian::little);
  const size_t size = bytes.size();
  const char* data = bytes.data();
  if (size >= 8) return load<uint64_t>(data);
  if (size >= 4) return load<uint32_t>(data) | load<uint32_t>(data + size - 4) << (8 * (size - 4));
  if (size >= 2) return load<uint16_t>(data) | load<uint16_t>(data + size - 2) << (8 * (size - 2));
  return size == 1 ? load<uint8_t>(data) : 0;
}

}  // namespace

PieceCache::PieceCache() : slots_(std::make_unique<Slot[]>(kSlots)) {}

PieceCache::Key PieceCache::key_of(std::string_view piece) {
  Key key;
  for (uint64_t& word : key) {
    word = load_padded(piece);
    piece.remove_prefix(std::min<size_t>(piece.size(), 8));
  }
  return key;
}

PieceCache::Slot& PieceCache::slot_of(const Key& key, size_t length) const {
  uint64_t hash = length;
  for (const uint64_t word : key) hash = (std::rotl(hash, 29) ^ word) * 0x9E3779B97F4A7C15u;
  return slots_[(hash ^ hash >> 32) * 0x9E3779B97F4A7C15u >> (64 - std::countr_zero(kSlots))];
}

bool PieceCache::find(std::string_view piece, std::vector<int32_t>& ids) const {
  if (piece.size() > kMaxPieceBytes) return false;
  const Key key = key_of(piece);
  const Slot& slot = slot_of(key, piece.size());
  const uint64_t head = slot.head.load(std::memory_order_acquire);
  if ((head & kWritten) != 0 || (head >> 8 & 0xFF) != piece.size()) return false;
  for (size_t i = 0; i < kKeyWords; ++i) {
    if (slot.key[i].load(std::memory_order_acquire) != key[i]) return false;
  }
  std::array<uint64_t, kIdWords> words;
  for (size_t i = 0; i < kIdWords; ++i) words[i] = slot.ids[i].load(std::memory_order_acquire);
  if (slot.head.load(std::memory_order_relaxed) != head) return false;
  const auto found = std::bit_cast<std::array<int32_t, kMaxIds>>(words);
  ids.insert(ids.end(), found.begin(), found.begin() + (head & 0xFF));
  return true;
}

void PieceCache::insert(std::string_view piece, std::span<const int32_t> ids) const {
  if (piece.empty() || piece.size() > kMaxPieceBytes || ids.size() > kMaxIds) return;
  const Key key = key_of(piece);
  Slot& slot = slot_of(key, piece.size());
  uint64_t head = slot.head.load(std::memory_order_relaxed);
  // Who finds the slot being written leaves it to the other.
  if ((head & kWritten) != 0) return;
  if (!slot.head.compare_exchange_strong(head, head | kWritten, std::memory_order_acquire)) return;
  std::array<int32_t, kMaxIds> padded{};
  std::copy(ids.begin(), ids.end(), padded.begin());
  const auto words = std::bit_cast<std::array<uint64_t, kIdWords>>(padded);
  for (size_t i = 0; i < kKeyWords; ++i) slot.key[i].store(key[i], std::memory_order_release);
  for (size_t i = 0; i < kIdWords; ++i) slot.ids[i].store(words[i], std::memory_order_release);
  const uint64_t sequence = ((head & ~kSizes) | kWritten) + kWritten;
  slot.head.store(sequence | piece.size() << 8 | ids.size(), std::memory_order_release);
}

}  // namespace remuda::text
