#include "io/config_fields.h"

#include "base/activations.h"
#include "base/fail.h"

namespace remuda::io {

std::string parse_activation(const JsonValue& root, const char* field) {
  const auto value = root.find(field);
  return value ? parse_activation(*value) : "gelu";
}

std::string parse_activation(const JsonValue& value) {
  if (const auto function = activation_by_name(value.as_string())) return std::string(name_of(*function));
  fail(ErrorCode::kUnsupported, "{}: expected one of {}, found \"{}\"", value.where(), known_activation_names(),
       value.as_string());
}

}  // namespace remuda::io
