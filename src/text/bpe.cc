#include "text/bpe.h"

#include <algorithm>
#include <array>
#include <bit>
#include <queue>

#include "base/fail.h"
#include "text/byte_level.h"
#include "text/byte_tokens.h"
#include "text/utf8.h"

namespace remuda::text {
namespace {

constexpr size_t kMaxMerges = size_t{1} << 22;
constexpr size_t kMaxAffixBytes = 256;
// Half full at most, a good hash leaves runs of some dozens.
constexpr size_t kMaxProbes = 2048;
// Looking at every pair for each merge is faster than a heap up to here.
constexpr size_t kFew = 48;

}  // namespace

MergeTable::MergeTable(size_t expected) {
  const size_t slots = std::bit_ceil(std::max<size_t>(16, 2 * expected));
  slots_.resize(slots);
  shift_ = 64 - std::countr_zero(slots);
}

size_t MergeTable::first_slot(uint64_t pair) const {
  const uint64_t mixed = (pair ^ pair >> 32) * 0x9E3779B97F4A7C15u;
  return (mixed ^ mixed >> 29) * 0xBF58476D1CE4E5B9u >> shift_;
}

size_t MergeTable::slot_of(uint64_t pair) const {
  size_t slot = first_slot(pair);
  while (slots_[slot].pair != kEmpty && slots_[slot].pair != pair) slot = (slot + 1) & (slots_.size() - 1);
  return slot;
}

bool MergeTable::add(int32_t left, int32_t right, Merge merge) {
  const uint64_t pair = pair_of(left, right);
  const size_t slot = slot_of(pair);
  if (((slot - first_slot(pair)) & (slots_.size() - 1)) > kMaxProbes) return false;
  slots_[slot] = {pair, merge};
  return true;
}

MergeTable::Merge MergeTable::find(int32_t left, int32_t right) const {
  return slots_[slot_of(pair_of(left, right))].merge;
}

Bpe::Bpe(Vocabulary vocabulary, const LargeVector<Pair>& merges, Options options, const std::string& source)
    : vocabulary_(std::move(vocabulary)), options_(std::move(options)), merges_(merges.size()) {
  if (options_.unknown_token) {
    unknown_id_ = vocabulary_.find(*options_.unknown_token);
    if (!unknown_id_) {
      fail(ErrorCode::kInvalidFile, "{}: expected the unknown token \"{}\" in the vocabulary, found {} other tokens",
           source, *options_.unknown_token, vocabulary_.size());
    }
  }
  int32_t rank = 0;
  for (const auto& [left, right] : merges) {
    if (right.size() < options_.continuation_prefix.size()) {
      fail(ErrorCode::kInvalidFile, "{}: merge {}: expected \"{}\" to begin with the continuing_subword_prefix \"{}\"",
           source, rank, right, options_.continuation_prefix);
    }
    const std::string merged = std::string(left).append(right.substr(options_.continuation_prefix.size()));
    const auto id_of = [&](std::string_view token) {
      const auto id = vocabulary_.find(token);
      if (!id) {
        fail(ErrorCode::kInvalidFile,
             "{}: merge {} (\"{}\" and \"{}\"): expected the token \"{}\" in the vocabulary, found none", source, rank,
             left, right, token);
      }
      return *id;
    };
    const int32_t left_id = id_of(left);
    const int32_t right_id = id_of(right);
    if (!merges_.add(left_id, right_id, {rank, id_of(merged)})) {
      fail(ErrorCode::kInvalidFile, "{}: expected merges like a vocabulary's, found more than {} that share a hash",
           source, kMaxProbes);
    }
    ++rank;
  }
}

void Bpe::tokenize(std::string_view piece, std::vector<int32_t>& ids) const {
  if (cache_.find(piece, ids)) return;
  const size_t before = ids.size();
  if (options_.map_bytes) {
    std::string mapped;
    append_byte_characters(mapped, piece);
    tokenize_anew(mapped, ids);
  } else {
    tokenize_anew(piece, ids);
  }
  cache_.insert(piece, std::span(ids).subspan(before));
}

void Bpe::tokenize_anew(std::string_view piece, std::vector<int32_t>& ids) const {
  if (options_.ignore_merges) {
    if (const auto id = vocabulary_.find(piece)) return ids.push_back(*id);
  }
  const size_t before = ids.size();
  append_characters(piece, ids);
  if (ids.size() - before <= kFew) {
    merge_few(ids, before);
  } else {
    merge_many(ids, before);
  }
}

void Bpe::append_characters(std::string_view piece, std::vector<int32_t>& ids) const {
  // Hugging Face holds an unknown token back until the next token that is none, byte tokens excepted.
  bool unknown = false;
  std::string affixed;
  for (size_t position = 0; position < piece.size();) {
    const size_t start = position;
    next_code_point(piece, position);
    std::string_view character = piece.substr(start, position - start);
    const bool prefixed = start > 0 && !options_.continuation_prefix.empty();
    const bool suffixed = position == piece.size() && !options_.end_of_word_suffix.empty();
    if (prefixed || suffixed) {
      affixed.assign(prefixed ? options_.continuation_prefix : "").append(character);
      if (suffixed) affixed += options_.end_of_word_suffix;
      character = affixed;
    }
    const auto id = vocabulary_.find(character);
    if (!id) {
      if (options_.byte_fallback && append_byte_tokens(vocabulary_, character, ids)) continue;
      if (unknown && !options_.fuse_unknown) ids.push_back(*unknown_id_);
      unknown = unknown_id_.has_value();
      continue;
    }
    if (unknown) ids.push_back(*unknown_id_);
    unknown = false;
    ids.push_back(*id);
  }
  if (unknown) ids.push_back(*unknown_id_);
}

// The lowest rank, and of those the leftmost, until no pair has one.
void Bpe::merge_few(std::vector<int32_t>& ids, size_t begin) const {
  const std::span<int32_t> all = std::span(ids).subspan(begin);
  size_t count = all.size();
  std::array<MergeTable::Merge, kFew + 1> merges;
  const auto look_up = [&](size_t i) { merges[i] = merges_.find(all[i], all[i + 1]); };
  for (size_t i = 0; i + 1 < count; ++i) look_up(i);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) {
      if (merges[i].rank < merges[best].rank) best = i;
    }
    if (merges[best].rank == MergeTable::kNone) break;
    all[best] = merges[best].id;
    std::copy(all.begin() + best + 2, all.begin() + count, all.begin() + best + 1);
    std::copy(merges.begin() + best + 1, merges.begin() + count - 1, merges.begin() + best);
    --count;
    if (best > 0) look_up(best - 1);
    if (best + 1 < count) look_up(best);
  }
  ids.resize(begin + count);
}

// The same with a heap of the pairs that may be merged: n log n. An entry whose pair has changed is passed over.
void Bpe::merge_many(std::vector<int32_t>& ids, size_t begin) const {
  struct Symbol {
    int32_t id;
    uint32_t previous;
    uint32_t next;
  };
  struct Candidate {
    int32_t rank;
    uint32_t position;
    bool operator<(const Candidate& other) const {
      return std::tie(other.rank, other.position) < std::tie(rank, position);
    }
  };
  const auto count = static_cast<uint32_t>(ids.size() - begin);
  std::vector<Symbol> symbols(count);
  for (uint32_t i = 0; i < count; ++i) symbols[i] = {ids[begin + i], i - 1, i + 1};
  std::priority_queue<Candidate> candidates;
  const auto merge_at = [&](uint32_t position) {
    const Symbol& symbol = symbols[position];
    if (symbol.id < 0 || symbol.next >= count) return MergeTable::Merge();
    return merges_.find(symbol.id, symbols[symbol.next].id);
  };
  const auto push = [&](uint32_t position) {
    const MergeTable::Merge merge = merge_at(position);
    if (merge.rank != MergeTable::kNone) candidates.push({merge.rank, position});
  };
  for (uint32_t i = 0; i + 1 < count; ++i) push(i);
  while (!candidates.empty()) {
    const auto [rank, position] = candidates.top();
    candidates.pop();
    const MergeTable::Merge merge = merge_at(position);
    if (merge.rank != rank) continue;
    Symbol& left = symbols[position];
    Symbol& right = symbols[left.next];
    left.id = merge.id;
    left.next = right.next;
    right.id = -1;
    if (left.next < count) symbols[left.next].previous = position;
    if (position > 0) push(left.previous);
    push(position);
  }
  size_t end = begin;
  for (const Symbol& symbol : symbols) {
    if (symbol.id >= 0) ids[end++] = symbol.id;
  }
  ids.resize(end);
}

std::optional<Bpe::Pair> split_merge(std::string_view line) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) return std::nullopt;
  return Bpe::Pair{line.substr(0, space), line.substr(space + 1)};
}

LargeVector<Bpe::Pair> parse_merges(const JsonValue& json) {
  const auto items = json.items();
  if (items.size() > kMaxMerges) json.fail_expected(fmt::format("at most {} merges", kMaxMerges));
  LargeVector<Bpe::Pair> merges;
  merges.reserve(items.size());
  for (const JsonValue& item : items) {
    if (item.is_array()) {
      const auto pair = item.items();
      if (pair.size() != 2) item.fail_expected("two tokens");
      merges.emplace_back(pair[0].as_string(), pair[1].as_string());
    } else if (!item.as_string().starts_with("#version")) {
      const auto merge = split_merge(item.as_string());
      if (!merge) item.fail_expected("two tokens with a space between them");
      merges.push_back(*merge);
    }
  }
  return merges;
}

namespace {

std::string parse_affix(const JsonValue& json, std::string_view field) {
  std::string affix = json.string_or(field, "");
  if (affix.size() > kMaxAffixBytes) json.at(field).fail_expected(fmt::format("at most {} bytes", kMaxAffixBytes));
  return affix;
}

}  // namespace

std::unique_ptr<const Model> parse_bpe(const JsonValue& json, bool map_bytes) {
  if (const auto dropout = json.find("dropout"); dropout && dropout->as_double() != 0.0) {
    fail(ErrorCode::kUnsupported, "{}: expected null or 0, found {}: ids would be random", dropout->where(),
         dropout->as_double());
  }
  Bpe::Options options;
  if (const auto unknown = json.find("unk_token")) options.unknown_token = unknown->as_string();
  options.continuation_prefix = parse_affix(json, "continuing_subword_prefix");
  options.end_of_word_suffix = parse_affix(json, "end_of_word_suffix");
  options.fuse_unknown = json.bool_or("fuse_unk", false);
  options.byte_fallback = json.bool_or("byte_fallback", false);
  options.ignore_merges = json.bool_or("ignore_merges", false);
  options.map_bytes = map_bytes;
  return std::make_unique<Bpe>(parse_vocabulary(json.at("vocab")), parse_merges(json.at("merges")), std::move(options),
                               json.where());
}

}  // namespace remuda::text
