// Reading JSON that nobody vouches for: every access checks the type and fails with an error that names the
// file and the path of the field. Parsing is simdjson's; documents nested deeper than 64 levels are refused, integers
// beyond 64 bits are read as doubles, and NaN, Infinity and -Infinity are numbers, as in Python's json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/large_vector.h"

namespace remuda {

class JsonValue;

// A parsed document. Immutable; values and the string_views they return live as long as any copy of the
// document.
class JsonDocument {
 public:
  // `source` names the text in errors, normally its file. Throws Error(kInvalidFile).
  static JsonDocument parse(std::string_view text, std::string source);

  // Throws Error(kNotFound), Error(kIo), or Error(kInvalidFile) also for a file over `max_bytes`.
  static JsonDocument parse_file(const std::filesystem::path& path, uint64_t max_bytes = uint64_t{1} << 30);

  JsonValue root() const;

 private:
  friend class JsonValue;
  struct State;
  // `text` has room for what simdjson reads behind it.
  static JsonDocument parse_padded(LargeVector<char> text, std::string source);
  explicit JsonDocument(std::shared_ptr<const State> state) : state_(std::move(state)) {}

  std::shared_ptr<const State> state_;
};

// One value of a document, and where it stands in it. Cheap to copy. The document must outlive it.
class JsonValue {
 public:
  enum class Type { kNull, kBool, kNumber, kString, kArray, kObject };

  Type type() const;
  bool is_null() const { return type() == Type::kNull; }
  bool is_string() const { return type() == Type::kString; }
  bool is_array() const { return type() == Type::kArray; }
  bool is_object() const { return type() == Type::kObject; }

  // Each throws Error(kInvalidFile) when the value is of another type (or, for integers, out of range).
  bool as_bool() const;
  int64_t as_int() const;
  int64_t as_int(int64_t min, int64_t max) const;
  double as_double() const;
  std::string_view as_string() const;

  // A field of an object. `at` throws when it is missing; `find` takes a missing field and null for the same.
  JsonValue at(std::string_view key) const;
  std::optional<JsonValue> find(std::string_view key) const;

  // A field with a default for a missing one or null.
  bool bool_or(std::string_view key, bool fallback) const;
  int64_t int_or(std::string_view key, int64_t fallback, int64_t min, int64_t max) const;
  double double_or(std::string_view key, double fallback) const;
  std::string string_or(std::string_view key, std::string_view fallback) const;

  // The elements of an array or the members of an object, in the file's order.
  LargeVector<JsonValue> items() const;
  LargeVector<std::pair<std::string_view, JsonValue>> members() const;

  // "config.json: hidden_size": the start of every error about this value.
  std::string where() const;
  // Throws Error(kInvalidFile, "<where>: expected <expected>, found <the value, shortened>").
  [[noreturn]] void fail_expected(std::string_view expected) const;

 private:
  friend class JsonDocument;
  // The path is kept as a link to the container and a key or an index, and put together only for an error.
  // What simdjson::dom::element is made of, so that only json.cc needs its header.
  struct Element {
    const void* document;
    size_t index;
  };

  JsonValue(const JsonDocument::State* state, Element element, std::shared_ptr<const std::string> parent,
            std::string_view key, int64_t index)
      : state_(state), element_(element), parent_(std::move(parent)), key_(key), index_(index) {}

  std::string path() const;

  const JsonDocument::State* state_;
  Element element_;
  std::shared_ptr<const std::string> parent_;
  std::string_view key_;
  int64_t index_;
};

}  // namespace remuda
