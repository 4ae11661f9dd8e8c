#include "cli/text_encoding.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace remuda::cli {
namespace {

using namespace std::string_view_literals;
using Kind = Signature::Kind;

constexpr const char* kConvert = "make UTF-8 of it: iconv -f utf32 -t utf8 {}";

// Longer ones before those that they begin with.
constexpr std::array kSignatures = {
    Signature{"\xEF\xBB\xBF"sv, Kind::kUtf8, "UTF-8", ""},
    Signature{"\xFF\xFE\0\0"sv, Kind::kNotText, "UTF-32", kConvert},
    Signature{"\0\0\xFE\xFF"sv, Kind::kNotText, "UTF-32", kConvert},
    Signature{"\xFF\xFE"sv, Kind::kUtf16Little, "UTF-16", ""},
    Signature{"\xFE\xFF"sv, Kind::kUtf16Big, "UTF-16", ""},
    Signature{"\x1F\x8B"sv, Kind::kNotText, "gzip", "unpack it: zcat {}, with a pipe to remuda"},
    Signature{"\x28\xB5\x2F\xFD"sv, Kind::kNotText, "zstd", "unpack it: zstdcat {}, with a pipe to remuda"},
    Signature{"\xFD\x37zXZ\0"sv, Kind::kNotText, "xz", "unpack it: xzcat {}, with a pipe to remuda"},
    Signature{"BZh91AY&SY"sv, Kind::kNotText, "bzip2", "unpack it: bzcat {}, with a pipe to remuda"},
    Signature{"PK\x03\x04"sv, Kind::kNotText, "a zip archive (or .docx, .xlsx)", "give the texts in it as plain text"},
    Signature{"%PDF-1"sv, Kind::kNotText, "PDF", "make text of it: pdftotext {} -"},
    Signature{"\x93NUMPY"sv, Kind::kNotText, "a NumPy array", "give texts, one a line"},
    Signature{"PAR1\x15"sv, Kind::kNotText, "Parquet", "give texts, one a line, or JSON lines with --jsonl"},
};

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

bool is_high(uint32_t unit) { return unit >= 0xD800 && unit < 0xDC00; }
bool is_low(uint32_t unit) { return unit >= 0xDC00 && unit < 0xE000; }

void append_utf8(uint32_t code, std::string& out) {
  const auto add = [&out](uint32_t byte) { out += static_cast<char>(byte); };
  if (code < 0x80) {
    add(code);
  } else if (code < 0x800) {
    add(0xC0 | code >> 6);
    add(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    add(0xE0 | code >> 12);
    add(0x80 | (code >> 6 & 0x3F));
    add(0x80 | (code & 0x3F));
  } else {
    add(0xF0 | code >> 18);
    add(0x80 | (code >> 12 & 0x3F));
    add(0x80 | (code >> 6 & 0x3F));
    add(0x80 | (code & 0x3F));
  }
}

// The UTF-16 unit that an escape ("\u" and four digits) stands for; nullopt: there is none.
std::optional<uint32_t> escape_at(std::string_view json, size_t at) {
  constexpr size_t kLength = 6;
  if (json.size() < at + kLength || json[at] != '\\' || json[at + 1] != 'u') return std::nullopt;
  uint32_t unit = 0;
  const char* end = json.data() + at + kLength;
  const auto [rest, error] = std::from_chars(json.data() + at + 2, end, unit, 16);
  return error == std::errc() && rest == end ? std::optional(unit) : std::nullopt;
}

}  // namespace

const Signature* find_signature(std::string_view start) {
  const auto found = std::ranges::find_if(kSignatures, [&](const Signature& s) { return start.starts_with(s.bytes); });
  return found == kSignatures.end() ? nullptr : &*found;
}

bool may_become_signature(std::string_view start) {
  return std::ranges::any_of(
      kSignatures, [&](const Signature& s) { return start.size() < s.bytes.size() && s.bytes.starts_with(start); });
}

void Utf16Decoder::decode(std::string_view bytes, std::string& out) {
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (first_byte_ < 0) {
      first_byte_ = byte;
      continue;
    }
    const auto first = static_cast<uint32_t>(first_byte_);
    first_byte_ = -1;
    add_unit(is_big_endian_ ? first << 8 | byte : uint32_t{byte} << 8 | first, out);
  }
}

void Utf16Decoder::add_unit(uint32_t unit, std::string& out) {
  if (high_ != 0 && is_low(unit)) {
    append_utf8(0x10000 + ((high_ - 0xD800) << 10) + (unit - 0xDC00), out);
    high_ = 0;
    return;
  }
  if (high_ != 0) {
    out += kReplacement;
    ++malformed_;
    high_ = 0;
  }
  if (is_high(unit)) {
    high_ = unit;
  } else if (is_low(unit)) {
    out += kReplacement;
    ++malformed_;
  } else {
    append_utf8(unit, out);
  }
}

void Utf16Decoder::finish(std::string& out) {
  if (high_ == 0 && first_byte_ < 0) return;
  out += kReplacement;
  ++malformed_;
  high_ = 0;
  first_byte_ = -1;
}

int64_t repair_surrogates(std::string& json) {
  int64_t repaired = 0;
  for (size_t at = json.find('\\'); at != std::string::npos && at + 1 < json.size(); at = json.find('\\', at)) {
    const std::optional<uint32_t> unit = escape_at(json, at);
    if (!unit) {
      at += 2;
      continue;
    }
    const std::optional<uint32_t> next = is_high(*unit) ? escape_at(json, at + 6) : std::nullopt;
    if (next && is_low(*next)) {
      at += 12;
      continue;
    }
    if (is_high(*unit) || is_low(*unit)) {
      json.replace(at, 6, "\\ufffd");
      ++repaired;
    }
    at += 6;
  }
  return repaired;
}

}  // namespace remuda::cli
