#include "text/vocabulary.h"

#include <bit>
#include <cstring>

#include "base/fail.h"

namespace remuda::text {
namespace {

// Half full at most, a good hash leaves runs of some dozens. A file that makes longer ones was made to.
constexpr size_t kMaxProbes = 2048;
constexpr size_t kMinSlots = 64;

}  // namespace

Vocabulary::Vocabulary(std::string source, size_t expected) : source_(std::move(source)) {
  const size_t slots = std::bit_ceil(std::max(kMinSlots, 2 * std::min(expected, size_t{kMaxId} + 1)));
  slots_.resize(slots);
  shift_ = 64 - std::countr_zero(slots);
  tokens_.reserve(slots / 2);
}

void Vocabulary::check(std::string_view token, int64_t id) const {
  if (id < 0 || id > kMaxId) {
    fail(ErrorCode::kInvalidFile, "{}: expected ids from 0 to {}, found {} for \"{}\"", source_, kMaxId, id,
         token.substr(0, 60));
  }
  if (token.size() > kMaxTokenBytes) {
    fail(ErrorCode::kInvalidFile, "{}: expected tokens of at most {} bytes, found one of {} (id {})", source_,
         kMaxTokenBytes, token.size(), id);
  }
  if (id < id_limit() && tokens_[id].length >= 0) {
    fail(ErrorCode::kInvalidFile, "{}: expected each id once, found {} for \"{}\" and for \"{}\"", source_, id,
         text_of(static_cast<int32_t>(id)), token);
  }
}

void Vocabulary::store(std::string_view token, int64_t id) {
  if (id >= id_limit()) tokens_.resize(static_cast<size_t>(id) + 1);
  tokens_[id] = {static_cast<uint32_t>(texts_.size()), static_cast<int32_t>(token.size())};
  texts_.append(token);
  ++size_;
  max_token_bytes_ = std::max(max_token_bytes_, token.size());
}

void Vocabulary::add(std::string_view token, int64_t id) {
  check(token, id);
  Hash hash;
  hash.add(token);
  if (const int32_t found = find(hash, {}, token); found >= 0) {
    fail(ErrorCode::kInvalidFile, "{}: expected each token once, found \"{}\" with ids {} and {}", source_, token,
         found, id);
  }
  if (2 * (size_ + 1) > slots_.size()) grow();
  store(token, id);
  insert(mix(hash), static_cast<int32_t>(id));
}

void Vocabulary::add_shadowed(std::string_view token, int64_t id) {
  check(token, id);
  if (2 * (size_ + 1) > slots_.size()) grow();
  store(token, id);
}

void Vocabulary::insert(uint64_t mixed, int32_t id) {
  size_t slot = first_slot(mixed);
  size_t probes = 0;
  while (slots_[slot].id >= 0) {
    slot = (slot + 1) & (slots_.size() - 1);
    if (++probes > kMaxProbes) {
      fail(ErrorCode::kInvalidFile, "{}: expected tokens like a vocabulary's, found {} that share a hash", source_,
           probes);
    }
  }
  slots_[slot] = {tag_of(mixed), id};
}

void Vocabulary::grow() {
  LargeVector<Slot> previous = std::move(slots_);
  const size_t slots = std::max(kMinSlots, 2 * previous.size());
  slots_.assign(slots, Slot{});
  shift_ = 64 - std::countr_zero(slots);
  for (const Slot slot : previous) {
    if (slot.id < 0) continue;
    Hash hash;
    hash.add(text_of(slot.id));
    insert(mix(hash), slot.id);
  }
}

int32_t Vocabulary::find(Hash hash, std::string_view prefix, std::string_view piece) const {
  if (slots_.empty()) return -1;
  const uint64_t mixed = mix(hash);
  for (size_t slot = first_slot(mixed);; slot = (slot + 1) & (slots_.size() - 1)) {
    const auto [tag, id] = slots_[slot];
    if (id < 0) return -1;
    if (tag != tag_of(mixed)) continue;
    const std::string_view token = text_of(id);
    if (token.size() == prefix.size() + piece.size() && token.ends_with(piece) && token.starts_with(prefix)) {
      return id;
    }
  }
}

std::optional<int32_t> Vocabulary::find(std::string_view token) const {
  Hash hash;
  hash.add(token);
  const int32_t id = find(hash, {}, token);
  return id < 0 ? std::nullopt : std::optional(id);
}

std::optional<std::string_view> Vocabulary::token(int32_t id) const {
  if (id < 0 || id >= id_limit() || tokens_[id].length < 0) return std::nullopt;
  return text_of(id);
}

size_t Vocabulary::bytes() const {
  return texts_.capacity() + tokens_.capacity() * sizeof(Token) + slots_.capacity() * sizeof(Slot);
}

Vocabulary parse_vocabulary(const JsonValue& json) {
  const auto members = json.members();
  Vocabulary vocabulary(json.where(), members.size());
  for (const auto& [token, id] : members) vocabulary.add(token, id.as_int());
  return vocabulary;
}

}  // namespace remuda::text
