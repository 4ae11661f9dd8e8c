#include "base/activations.h"

#include <algorithm>
#include <array>

namespace remuda {
namespace {

// An empty string: it has no name of this kind. The first entry of a function has the name that it is known by here.
struct Known {
  ActivationFunction function;
  std::string_view name;
  std::string_view torch_class;
};
using enum ActivationFunction;
constexpr std::array kKnown = {
    Known{kIdentity, "identity", "Identity"},
    Known{kIdentity, "linear", ""},
    Known{kGelu, "gelu", "GELU"},
    Known{kGelu, "gelu_python", ""},
    Known{kGeluTanh, "gelu_new", ""},
    Known{kGeluTanh, "gelu_fast", ""},
    Known{kGeluTanh, "gelu_pytorch_tanh", ""},
    Known{kGeluTanh, "gelu_python_tanh", ""},
    Known{kGeluTanh, "gelu_accurate", ""},
    Known{kRelu, "relu", "ReLU"},
    Known{kTanh, "tanh", "Tanh"},
    Known{kSilu, "silu", "SiLU"},
    Known{kSilu, "swish", ""},
    Known{kQuickGelu, "quick_gelu", ""},
    Known{kSigmoid, "sigmoid", "Sigmoid"},
    Known{kMish, "mish", "Mish"},
    Known{kClippedGelu, "gelu_10", ""},
    Known{kLaplace, "laplace", ""},
    Known{kReluSquared, "relu2", ""},
    Known{kRelu6, "relu6", "ReLU6"},
    Known{kLeakyRelu, "leaky_relu", "LeakyReLU"},
    Known{kRrelu, "", "RReLU"},
    Known{kElu, "", "ELU"},
    Known{kElu, "", "CELU"},
    Known{kSelu, "", "SELU"},
    Known{kSoftplus, "", "Softplus"},
    Known{kSqrtSoftplus, "sqrtsoftplus", ""},
    Known{kHardswish, "hardswish", "Hardswish"},
    Known{kHardsigmoid, "", "Hardsigmoid"},
    Known{kHardtanh, "", "Hardtanh"},
    Known{kSoftsign, "", "Softsign"},
    Known{kLogSigmoid, "", "LogSigmoid"},
    Known{kTanhshrink, "", "Tanhshrink"},
    Known{kSoftshrink, "", "Softshrink"},
    Known{kHardshrink, "", "Hardshrink"},
};

std::optional<ActivationFunction> find(std::string_view name, std::string_view Known::* field) {
  const auto found = name.empty() ? kKnown.end() : std::ranges::find(kKnown, name, field);
  return found == kKnown.end() ? std::nullopt : std::optional(found->function);
}

std::string join(std::string_view Known::* field) {
  std::string names;
  for (const Known& known : kKnown) {
    if ((known.*field).empty()) continue;
    if (!names.empty()) names += ", ";
    names += known.*field;
  }
  return names;
}

}  // namespace

std::optional<ActivationFunction> activation_by_name(std::string_view name) { return find(name, &Known::name); }

std::optional<ActivationFunction> activation_by_torch_class(std::string_view name) {
  return find(name, &Known::torch_class);
}

std::string_view name_of(ActivationFunction function) {
  const auto* known = std::ranges::find(kKnown, function, &Known::function);
  if (known == kKnown.end()) return "unknown";
  return known->name.empty() ? known->torch_class : known->name;
}

std::string known_activation_names() { return join(&Known::name); }

std::string known_torch_activations() { return join(&Known::torch_class); }

}  // namespace remuda
