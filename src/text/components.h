// How a part of tokenizer.json, which names its kind in "type", finds the function that reads it.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/fail.h"
#include "base/json.h"

namespace remuda::text {

template <typename Result>
struct Component {
  std::string_view type;
  void (*parse)(const JsonValue& json, Result& result);
};

// Throws Error(kUnsupported) that names the kind and those in `known`.
template <typename Result>
void parse_component(const JsonValue& json, std::span<const Component<Result>> known, Result& result) {
  const JsonValue type = json.at("type");
  std::string names;
  for (const Component<Result>& component : known) {
    if (component.type == type.as_string()) return component.parse(json, result);
    names.append(names.empty() ? "" : ", ").append(component.type);
  }
  fail(ErrorCode::kUnsupported, "{}: expected one of {}, found \"{}\"", type.where(), names, type.as_string());
}

}  // namespace remuda::text
