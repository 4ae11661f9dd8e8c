#include "base/json.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <span>

#include "base/fail.h"
#include "base/files.h"

namespace remuda {

using simdjson::dom::element;
using simdjson::dom::element_type;

struct JsonDocument::State {
  std::string source;
  simdjson::dom::document document;
  element root;
};

namespace {

constexpr size_t kMaxDepth = 64;
constexpr size_t kMaxShown = 60;

// The parser's buffers have 1.6 to 8 bytes for each of the text, and would be among those that large_vector.h speaks
// of. Blocks of more than 32 MiB are always mapped by the C library, and mapped pages that nobody touches cost nothing.
constexpr size_t kLargeText = size_t{64} << 10;
constexpr size_t kMappedCapacity = size_t{20} << 20;

// Room in both for a text of so many bytes.
simdjson::error_code allocate(simdjson::dom::parser& parser, simdjson::dom::document& document, size_t text_bytes) {
  const auto try_allocate = [&](size_t capacity) {
    const auto code = parser.allocate(capacity, kMaxDepth);
    return code == simdjson::SUCCESS ? document.allocate(capacity) : code;
  };
  const bool is_mapped = text_bytes >= kLargeText && text_bytes < kMappedCapacity;
  if (is_mapped && try_allocate(kMappedCapacity) == simdjson::SUCCESS) return simdjson::SUCCESS;
  return try_allocate(text_bytes);  // Where address space is limited, too.
}

LargeVector<char> padded(std::string_view text) {
  LargeVector<char> copy;
  copy.reserve(text.size() + simdjson::SIMDJSON_PADDING);
  copy.assign(text.begin(), text.end());
  copy.resize(text.size() + simdjson::SIMDJSON_PADDING);
  return copy;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Python's json writes these for the floats that JSON has no text for. In a document each is a string that begins with
// a zero byte, which JsonValue takes for the number.
struct NonFinite {
  std::string_view literal;
  std::string_view standing_in;  // As JSON.
  double value;
};
constexpr std::array<NonFinite, 3> kNonFinite = {{
    {"NaN", R"("\u0000NaN")", std::numeric_limits<double>::quiet_NaN()},
    {"Infinity", R"("\u0000Infinity")", std::numeric_limits<double>::infinity()},
    {"-Infinity", R"("\u0000-Infinity")", -std::numeric_limits<double>::infinity()},
}};

const NonFinite* non_finite_at(std::string_view text) {
  const auto* found =
      std::ranges::find_if(kNonFinite, [text](const NonFinite& known) { return text.starts_with(known.literal); });
  return found == kNonFinite.end() ? nullptr : found;
}

// The entry of kNonFinite that a value of a document stands for; nullptr: none.
const NonFinite* non_finite(const element& value) {
  std::string_view text;
  if (value.get(text) != simdjson::SUCCESS || !text.starts_with('\0')) return nullptr;
  const auto* found =
      std::ranges::find_if(kNonFinite, [text](const NonFinite& known) { return text.substr(1) == known.literal; });
  return found == kNonFinite.end() ? nullptr : found;
}

// Rewrites JSON that Python takes and simdjson refuses: ".0" goes after integers of 20 digits and
// more (Hugging Face's files have 10^30 for "no limit"), which makes doubles of them, and floats that are not finite
// become strings.
LargeString without_python_numbers(std::string_view text) {
  constexpr size_t kDigits = 20;
  LargeString out;
  bool in_string = false;
  for (size_t i = 0; i < text.size();) {
    const size_t start = i;
    if (const NonFinite* literal = in_string ? nullptr : non_finite_at(text.substr(i))) {
      out += literal->standing_in;
      i += literal->literal.size();
      continue;
    }
    if (in_string || !is_digit(text[i])) {
      if (text[i] == '"') in_string = !in_string;
      i += in_string && text[i] == '\\' && i + 1 < text.size() ? 2 : 1;
      out.append(text.substr(start, i - start));
      continue;
    }
    // A whole number, so that the digits of its fraction and its exponent aren't taken for integers.
    bool integer = true;
    for (; i < text.size() && (is_digit(text[i]) || std::strchr(".eE+-", text[i]) != nullptr); ++i) {
      integer = integer && is_digit(text[i]);
    }
    out.append(text.substr(start, i - start));
    if (integer && i - start >= kDigits) out += ".0";
  }
  return out;
}

}  // namespace

JsonDocument JsonDocument::parse(std::string_view text, std::string source) {
  return parse_padded(padded(text), std::move(source));
}

// What is parsed is copied: neither text nor parser live as long as the document.
JsonDocument JsonDocument::parse_padded(LargeVector<char> padded_text, std::string source) {
  auto state = std::make_shared<State>();
  state->source = std::move(source);
  const std::string_view text(padded_text.data(), padded_text.size() - simdjson::SIMDJSON_PADDING);
  simdjson::dom::parser parser;
  const auto try_parse = [&](const char* data, size_t size) {
    const auto code = allocate(parser, state->document, size);
    if (code != simdjson::SUCCESS) return code;
    return parser.parse_into_document(state->document, data, size, /*realloc_if_needed=*/false).get(state->root);
  };
  auto code = try_parse(text.data(), text.size());
  if (code == simdjson::NUMBER_ERROR || code == simdjson::TAPE_ERROR) {
    const LargeVector<char> changed = padded(without_python_numbers(text));
    code = try_parse(changed.data(), changed.size() - simdjson::SIMDJSON_PADDING);
  }
  if (code != simdjson::SUCCESS) {
    const char* hint = code == simdjson::DEPTH_ERROR ? " (nested deeper than 64 levels)" : "";
    fail(ErrorCode::kInvalidFile, "{}: expected JSON, found {} bytes that don't parse: {}{}", state->source,
         text.size(), simdjson::error_message(code), hint);
  }
  return JsonDocument(std::move(state));
}

JsonDocument JsonDocument::parse_file(const std::filesystem::path& path, uint64_t max_bytes) {
  const OpenFile file(path, max_bytes);
  LargeVector<char> text(file.size() + simdjson::SIMDJSON_PADDING);
  file.read(std::span(text).first(file.size()));
  return parse_padded(std::move(text), path.string());
}

JsonValue JsonDocument::root() const {
  return JsonValue(state_.get(), std::bit_cast<JsonValue::Element>(state_->root), nullptr, {}, -1);
}

JsonValue::Type JsonValue::type() const {
  switch (std::bit_cast<element>(element_).type()) {
    case element_type::ARRAY:
      return Type::kArray;
    case element_type::OBJECT:
      return Type::kObject;
    case element_type::INT64:
    case element_type::UINT64:
    case element_type::DOUBLE:
      return Type::kNumber;
    case element_type::STRING:
      return non_finite(std::bit_cast<element>(element_)) != nullptr ? Type::kNumber : Type::kString;
    case element_type::BOOL:
      return Type::kBool;
    case element_type::NULL_VALUE:
      break;
  }
  return Type::kNull;
}

bool JsonValue::as_bool() const {
  bool value;
  if (std::bit_cast<element>(element_).get(value) != simdjson::SUCCESS) fail_expected("true or false");
  return value;
}

int64_t JsonValue::as_int() const { return as_int(INT64_MIN, INT64_MAX); }

int64_t JsonValue::as_int(int64_t min, int64_t max) const {
  int64_t value;
  if (std::bit_cast<element>(element_).get(value) != simdjson::SUCCESS || value < min || value > max) {
    if (min == INT64_MIN && max == INT64_MAX) fail_expected("an integer");
    fail_expected(fmt::format("an integer from {} to {}", min, max));
  }
  return value;
}

double JsonValue::as_double() const {
  double value;
  if (const NonFinite* known = non_finite(std::bit_cast<element>(element_))) return known->value;
  if (std::bit_cast<element>(element_).get(value) != simdjson::SUCCESS) fail_expected("a number");
  return value;
}

std::string_view JsonValue::as_string() const {
  std::string_view value;
  if (std::bit_cast<element>(element_).get(value) != simdjson::SUCCESS ||
      non_finite(std::bit_cast<element>(element_)) != nullptr) {
    fail_expected("a string");
  }
  return value;
}

JsonValue JsonValue::at(std::string_view key) const {
  simdjson::dom::object object;
  if (std::bit_cast<element>(element_).get(object) != simdjson::SUCCESS) fail_expected("an object");
  element child;
  if (object.at_key(key).get(child) != simdjson::SUCCESS) {
    fail(ErrorCode::kInvalidFile, "{}: expected a field \"{}\", found none", where(), key);
  }
  return JsonValue(state_, std::bit_cast<Element>(child), std::make_shared<const std::string>(path()), key, -1);
}

std::optional<JsonValue> JsonValue::find(std::string_view key) const {
  simdjson::dom::object object;
  if (std::bit_cast<element>(element_).get(object) != simdjson::SUCCESS) fail_expected("an object");
  element child;
  if (object.at_key(key).get(child) != simdjson::SUCCESS || child.is_null()) return std::nullopt;
  return JsonValue(state_, std::bit_cast<Element>(child), std::make_shared<const std::string>(path()), key, -1);
}

bool JsonValue::bool_or(std::string_view key, bool fallback) const {
  const auto value = find(key);
  return value ? value->as_bool() : fallback;
}

int64_t JsonValue::int_or(std::string_view key, int64_t fallback, int64_t min, int64_t max) const {
  const auto value = find(key);
  return value ? value->as_int(min, max) : fallback;
}

double JsonValue::double_or(std::string_view key, double fallback) const {
  const auto value = find(key);
  return value ? value->as_double() : fallback;
}

std::string JsonValue::string_or(std::string_view key, std::string_view fallback) const {
  const auto value = find(key);
  return std::string(value ? value->as_string() : fallback);
}

LargeVector<JsonValue> JsonValue::items() const {
  simdjson::dom::array array;
  if (std::bit_cast<element>(element_).get(array) != simdjson::SUCCESS) fail_expected("an array");
  const auto parent = std::make_shared<const std::string>(path());
  LargeVector<JsonValue> values;
  values.reserve(array.size());
  for (const element child : array) {
    values.push_back(JsonValue(state_, std::bit_cast<Element>(child), parent, {}, static_cast<int64_t>(values.size())));
  }
  return values;
}

LargeVector<std::pair<std::string_view, JsonValue>> JsonValue::members() const {
  simdjson::dom::object object;
  if (std::bit_cast<element>(element_).get(object) != simdjson::SUCCESS) fail_expected("an object");
  const auto parent = std::make_shared<const std::string>(path());
  LargeVector<std::pair<std::string_view, JsonValue>> values;
  values.reserve(object.size());
  for (const auto& [key, child] : object) {
    values.emplace_back(key, JsonValue(state_, std::bit_cast<Element>(child), parent, key, -1));
  }
  return values;
}

std::string JsonValue::path() const {
  std::string path = parent_ ? *parent_ : std::string();
  if (index_ >= 0) return path + fmt::format("[{}]", index_);
  if (!key_.empty() && !path.empty()) path += '.';
  return path.append(key_);
}

std::string JsonValue::where() const {
  const std::string inside = path();
  return inside.empty() ? state_->source : state_->source + ": " + inside;
}

void JsonValue::fail_expected(std::string_view expected) const {
  std::string found = simdjson::minify(std::bit_cast<element>(element_));
  if (const NonFinite* known = non_finite(std::bit_cast<element>(element_))) found = known->literal;
  if (found.size() > kMaxShown) found = found.substr(0, kMaxShown) + "...";
  fail(ErrorCode::kInvalidFile, "{}: expected {}, found {}", where(), expected, found);
}

}  // namespace remuda
