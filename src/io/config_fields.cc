#include "io/config_fields.h"

#include "base/fail.h"

namespace remuda::io {

std::string parse_activation(const JsonValue& root, const char* field) {
  const std::string name = root.string_or(field, "gelu");
  if (name == "gelu" || name == "gelu_python") return "gelu";
  // All three compute the tanh form.
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast") return "gelu_new";
  if (name == "relu") return "relu";
  fail(ErrorCode::kUnsupported, "{}: expected gelu, gelu_new or relu, found \"{}\"", root.at(field).where(), name);
}

}  // namespace remuda::io
