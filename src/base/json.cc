#include "base/json.h"

#include <simdjson.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "base/fail.h"

namespace remuda {

using simdjson::dom::element;
using simdjson::dom::element_type;

struct JsonDocument::State {
  std::string source;
  simdjson::padded_string text;
  simdjson::dom::parser parser;
  element root;
};

namespace {

constexpr size_t kMaxDepth = 64;
constexpr size_t kMaxShown = 60;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// simdjson refuses integers beyond 64 bits, and Hugging Face's files have them (10^30 for "no limit"). The text with
// ".0" after integers of 20 digits and more, which makes doubles of them.
std::string with_big_integers_as_doubles(std::string_view text) {
  constexpr size_t kDigits = 20;
  std::string out;
  bool in_string = false;
  for (size_t i = 0; i < text.size();) {
    const size_t start = i;
    if (in_string || !is_digit(text[i])) {
      if (text[i] == '"') in_string = !in_string;
      i += in_string && text[i] == '\\' && i + 1 < text.size() ? 2 : 1;
      out.append(text, start, i - start);
      continue;
    }
    // A whole number, so that the digits of its fraction and its exponent aren't taken for integers.
    bool integer = true;
    for (; i < text.size() && (is_digit(text[i]) || std::strchr(".eE+-", text[i]) != nullptr); ++i) {
      integer = integer && is_digit(text[i]);
    }
    out.append(text, start, i - start);
    if (integer && i - start >= kDigits) out += ".0";
  }
  return out;
}

}  // namespace

JsonDocument JsonDocument::parse(std::string_view text, std::string source) {
  auto state = std::make_shared<State>();
  state->source = std::move(source);
  const auto try_parse = [&](std::string_view what) {
    state->text = simdjson::padded_string(what);
    const auto code = state->parser.allocate(what.size(), kMaxDepth);
    return code != simdjson::SUCCESS ? code : state->parser.parse(state->text).get(state->root);
  };
  auto code = try_parse(text);
  if (code == simdjson::NUMBER_ERROR) code = try_parse(with_big_integers_as_doubles(text));
  if (code != simdjson::SUCCESS) {
    const char* hint = code == simdjson::DEPTH_ERROR ? " (nested deeper than 64 levels)" : "";
    fail(ErrorCode::kInvalidFile, "{}: expected JSON, found {} bytes that don't parse: {}{}", state->source,
         text.size(), simdjson::error_message(code), hint);
  }
  return JsonDocument(std::move(state));
}

JsonDocument JsonDocument::parse_file(const std::filesystem::path& path, uint64_t max_bytes) {
  std::error_code status;
  const auto type = std::filesystem::status(path, status).type();
  if (type == std::filesystem::file_type::not_found) {
    fail(ErrorCode::kNotFound, "{}: no such file", path.string());
  }
  if (type != std::filesystem::file_type::regular) {
    fail(ErrorCode::kIo, "{}: expected a regular file, found something else", path.string());
  }
  const uint64_t size = std::filesystem::file_size(path, status);
  if (!status && size > max_bytes) {
    fail(ErrorCode::kInvalidFile, "{}: expected at most {} bytes, found {}", path.string(), max_bytes, size);
  }
  std::ifstream file(path, std::ios::binary);
  std::string text(status ? 0 : size, '\0');
  if (!file || !file.read(text.data(), static_cast<std::streamsize>(text.size()))) {
    fail(ErrorCode::kIo, "{}: can't be read: {}", path.string(), std::strerror(errno));
  }
  return parse(text, path.string());
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
      return Type::kString;
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
  if (std::bit_cast<element>(element_).get(value) != simdjson::SUCCESS) fail_expected("a number");
  return value;
}

std::string_view JsonValue::as_string() const {
  std::string_view value;
  if (std::bit_cast<element>(element_).get(value) != simdjson::SUCCESS) fail_expected("a string");
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

std::vector<JsonValue> JsonValue::items() const {
  simdjson::dom::array array;
  if (std::bit_cast<element>(element_).get(array) != simdjson::SUCCESS) fail_expected("an array");
  const auto parent = std::make_shared<const std::string>(path());
  std::vector<JsonValue> values;
  values.reserve(array.size());
  for (const element child : array) {
    values.push_back(JsonValue(state_, std::bit_cast<Element>(child), parent, {}, static_cast<int64_t>(values.size())));
  }
  return values;
}

std::vector<std::pair<std::string_view, JsonValue>> JsonValue::members() const {
  simdjson::dom::object object;
  if (std::bit_cast<element>(element_).get(object) != simdjson::SUCCESS) fail_expected("an object");
  const auto parent = std::make_shared<const std::string>(path());
  std::vector<std::pair<std::string_view, JsonValue>> values;
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
  if (found.size() > kMaxShown) found = found.substr(0, kMaxShown) + "...";
  fail(ErrorCode::kInvalidFile, "{}: expected {}, found {}", where(), expected, found);
}

}  // namespace remuda
