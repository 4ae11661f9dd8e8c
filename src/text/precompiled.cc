#include "text/precompiled.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstring>

#include "base/fail.h"
#include "text/utf8.h"

namespace remuda::text {
namespace {

// Clusters of this many bytes are looked up character by character.
constexpr size_t kLongCluster = 6;

// A unit of the double array.
bool has_leaf(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t value_of(uint32_t unit) { return unit & 0x7FFFFFFFu; }
uint32_t label_of(uint32_t unit) { return unit & 0x800000FFu; }
uint32_t offset_of(uint32_t unit) { return (unit >> 10) << ((unit & 0x200u) >> 6); }

uint32_t read_number(const char* bytes) {
  const auto byte = [&](int i) { return static_cast<uint32_t>(static_cast<unsigned char>(bytes[i])); };
  return byte(0) | byte(1) << 8 | byte(2) << 16 | byte(3) << 24;
}

std::string decode_base64(const JsonValue& json) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string_view text = json.as_string();
  const auto fail_here = [&] { json.fail_expected("base 64"); };
  if (text.size() % 4 != 0) fail_here();
  for (int padding = 0; padding < 2 && text.ends_with('='); ++padding) text.remove_suffix(1);
  std::array<int8_t, 256> values;
  values.fill(-1);
  for (size_t i = 0; i < kDigits.size(); ++i) values[static_cast<unsigned char>(kDigits[i])] = static_cast<int8_t>(i);
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3 + 3);
  uint32_t bits = 0;
  int count = 0;
  for (const char digit : text) {
    const int value = values[static_cast<unsigned char>(digit)];
    if (value < 0) fail_here();
    bits = bits << 6 | static_cast<uint32_t>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes.push_back(static_cast<char>(bits >> count & 0xFF));
  }
  return bytes;
}

// The end of the grapheme cluster that starts at `begin`: https://www.unicode.org/reports/tr29/.
size_t cluster_end(std::string_view text, size_t begin) {
  size_t position = begin;
  auto previous = static_cast<utf8proc_int32_t>(next_code_point(text, position));
  utf8proc_int32_t state = 0;
  while (position < text.size()) {
    size_t next = position;
    const auto current = static_cast<utf8proc_int32_t>(next_code_point(text, next));
    if (utf8proc_grapheme_break_stateful(previous, current, &state)) break;
    previous = current;
    position = next;
  }
  return position;
}

}  // namespace

CharacterMap::CharacterMap(std::string_view bytes, const std::string& source) {
  constexpr size_t kNumber = sizeof(uint32_t);
  const size_t trie_bytes = bytes.size() < kNumber ? 0 : read_number(bytes.data());
  if (trie_bytes == 0 || trie_bytes % kNumber != 0 || trie_bytes > bytes.size() - kNumber) {
    fail(ErrorCode::kInvalidFile, "{}: expected the size of a trie and the trie, found {} of {} bytes", source,
         trie_bytes, bytes.size());
  }
  units_.reserve(trie_bytes / kNumber);
  for (size_t at = kNumber; at < kNumber + trie_bytes; at += kNumber) units_.push_back(read_number(bytes.data() + at));
  right_sides_.assign(bytes.substr(kNumber + trie_bytes));
  std::string repaired;
  if (const int64_t malformed = repair_utf8(right_sides_, repaired); malformed > 0) {
    fail(ErrorCode::kInvalidFile, "{}: expected UTF-8 after the trie, found {} malformed sequences", source, malformed);
  }
  check_reachable(source);
}

// Every way through the trie stays inside, so that `find` needn't look. Ways may meet again, but each place is looked
// at once. Blocks of 256 units hold all children of a place.
void CharacterMap::check_reachable(const std::string& source) const {
  std::vector<bool> seen(units_.size());
  std::vector<uint32_t> places;
  const auto visit = [&](uint32_t place) {
    if ((place | 0xFF) >= units_.size()) {
      fail(ErrorCode::kInvalidFile, "{}: expected offsets below {}, the units of the trie, found {}", source,
           units_.size(), place | 0xFF);
    }
    if (seen[place]) return;
    seen[place] = true;
    places.push_back(place);
  };
  visit(offset_of(units_[0]));
  while (!places.empty()) {
    const uint32_t place = places.back();
    places.pop_back();
    for (uint32_t byte = 1; byte < 256; ++byte) {
      const uint32_t child = place ^ byte;
      const uint32_t unit = units_[child];
      if (label_of(unit) != byte) continue;
      const uint32_t next = child ^ offset_of(unit);
      visit(next);
      if (!has_leaf(unit)) continue;
      const uint32_t offset = value_of(units_[next]);
      if (offset >= right_sides_.size() || is_continuation(right_sides_[offset])) {
        fail(ErrorCode::kInvalidFile, "{}: expected a character below {} as the place of a replacement, found {}",
             source, right_sides_.size(), offset);
      }
    }
  }
}

std::string_view CharacterMap::right_side(uint32_t offset) const {
  const std::string_view rest = std::string_view(right_sides_).substr(offset);
  return rest.substr(0, rest.find('\0'));
}

std::optional<std::string_view> CharacterMap::find(std::string_view text) const {
  uint32_t place = offset_of(units_[0]);
  for (const char character : text) {
    const auto byte = static_cast<unsigned char>(character);
    if (byte == 0) return std::nullopt;
    place ^= byte;
    const uint32_t unit = units_[place];
    if (label_of(unit) != byte) return std::nullopt;
    place ^= offset_of(unit);
    if (has_leaf(unit)) return right_side(value_of(units_[place]));
  }
  return std::nullopt;
}

Precompiled::Precompiled(std::shared_ptr<const CharacterMap> map) : map_(std::move(map)) {
  for (size_t c = 0; c < ascii_.size(); ++c) {
    const auto character = static_cast<char>(c);
    ascii_[c] = map_->find({&character, 1});
  }
}

void Precompiled::normalize_cluster(std::string_view cluster, std::string& out) const {
  if (cluster.size() < kLongCluster) {
    if (const auto replacement = map_->find(cluster)) {
      out += *replacement;
      return;
    }
  }
  for (size_t position = 0; position < cluster.size();) {
    const size_t start = position;
    next_code_point(cluster, position);
    const std::string_view character = cluster.substr(start, position - start);
    out += map_->find(character).value_or(character);
  }
}

void Precompiled::normalize(std::string_view text, std::string& out, size_t max_bytes) const {
  for (size_t position = 0; position < text.size() && out.size() <= max_bytes;) {
    const char character = text[position];
    const bool last = position + 1 == text.size();
    // Between ASCII characters there is a boundary, but in a line end.
    if (is_ascii(character) && character != '\r' && (last || is_ascii(text[position + 1]))) {
      const auto& replacement = ascii_[static_cast<unsigned char>(character)];
      if (replacement) {
        out += *replacement;
      } else {
        out += character;
      }
      ++position;
      continue;
    }
    const size_t end = cluster_end(text, position);
    normalize_cluster(text.substr(position, end - position), out);
    position = end;
  }
}

Precompiled parse_precompiled(const JsonValue& json) {
  const JsonValue map = json.at("precompiled_charsmap");
  return Precompiled(std::make_shared<const CharacterMap>(decode_base64(map), map.where()));
}

}  // namespace remuda::text
