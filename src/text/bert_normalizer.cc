#include <algorithm>

#include "text/normalizer.h"
#include "text/utf8.h"

namespace remuda::text {
namespace {

constexpr uint8_t kDropped = 0x80;

}  // namespace

BertNormalizer::BertNormalizer(const Options& options) : options_(options), table_(&UnicodeTable::get()) {
  for (size_t c = 0; c < ascii_.size(); ++c) {
    auto mapped = static_cast<uint8_t>(c);
    if (options.lowercase && c >= 'A' && c <= 'Z') mapped = static_cast<uint8_t>(c + ('a' - 'A'));
    if (options.clean_text) {
      const uint16_t properties = (*table_)[static_cast<char32_t>(c)];
      if (properties & kRemovedByClean) {
        mapped = kDropped;
      } else if (properties & kWhiteSpace) {
        mapped = ' ';
      }
    }
    ascii_[c] = mapped;
  }
}

bool BertNormalizer::drops_start(std::string_view text) const {
  size_t position = 0;
  const char32_t first = next_code_point(text, position);
  const uint16_t properties = (*table_)[first];
  if (options_.clean_text && (properties & kRemovedByClean)) return true;
  if (!options_.strip_accents) return false;
  std::u32string parts;
  append_decomposition(parts, first, properties, /*compatibility=*/false);
  return std::all_of(parts.begin(), parts.end(), [&](char32_t part) { return table_->has(part, kNonspacingMark); });
}

// ASCII is neither composed nor reordered, so a run of it is independent of what stands around it.
void BertNormalizer::normalize_ascii(std::string_view text, std::string& out) const {
  const size_t start = out.size();
  out.resize(start + text.size());
  char* to = out.data() + start;
  for (const char c : text) {
    const uint8_t mapped = ascii_[static_cast<unsigned char>(c)];
    *to = static_cast<char>(mapped);
    to += mapped != kDropped;
  }
  out.resize(static_cast<size_t>(to - out.data()));
}

void BertNormalizer::normalize(std::string_view text, std::string& out) const {
  // Marks that survive and wait to be sorted; canonical order only ever moves nonstarters.
  std::u32string nonstarters;
  size_t position = 0;
  while (position < text.size()) {
    if (nonstarters.empty()) {
      const size_t run = ascii_prefix(text.substr(position));
      normalize_ascii(text.substr(position, run), out);
      position += run;
    }
    // ASCII after a mark that waits goes this way as well, until it is flushed: what clean_text drops was never
    // there, and doesn't come between two marks.
    while (position < text.size() && (!nonstarters.empty() || !is_ascii(text[position]))) {
      normalize_code_point(next_code_point(text, position), out, nonstarters);
    }
  }
  flush(out, nonstarters);
}

void BertNormalizer::normalize_code_point(char32_t code_point, std::string& out, std::u32string& nonstarters) const {
  const uint16_t properties = (*table_)[code_point];
  if (options_.clean_text && (properties & (kRemovedByClean | kWhiteSpace))) {
    if (properties & kRemovedByClean) return;
    code_point = ' ';
  }
  const bool chinese = options_.handle_chinese_chars && (properties & kChinese);
  if (chinese) {
    flush(out, nonstarters);
    out.push_back(' ');
  }
  if (!options_.strip_accents) {
    append(code_point, (*table_)[code_point], out);
  } else if (properties & kDecomposes) {
    std::u32string parts;
    append_decomposition(parts, code_point, properties, /*compatibility=*/false);
    for (const char32_t part : parts) strip_and_append(part, out, nonstarters);
  } else {
    strip_and_append(code_point, out, nonstarters);
  }
  if (chinese) {
    flush(out, nonstarters);
    out.push_back(' ');
  }
}

void BertNormalizer::strip_and_append(char32_t code_point, std::string& out, std::u32string& nonstarters) const {
  const uint16_t properties = (*table_)[code_point];
  if (properties & kNonstarter) {
    if (!(properties & kNonspacingMark)) nonstarters.push_back(code_point);
    return;
  }
  flush(out, nonstarters);
  if (!(properties & kNonspacingMark)) append(code_point, properties, out);
}

void BertNormalizer::flush(std::string& out, std::u32string& nonstarters) const {
  if (nonstarters.empty()) return;
  if (nonstarters.size() > 1) sort_nonstarters(nonstarters);
  for (const char32_t code_point : nonstarters) append(code_point, (*table_)[code_point], out);
  nonstarters.clear();
}

void BertNormalizer::append(char32_t code_point, uint16_t properties, std::string& out) const {
  if (options_.lowercase) {
    append_lowercase(out, code_point, properties);
  } else {
    append_utf8(out, code_point);
  }
}

}  // namespace remuda::text
