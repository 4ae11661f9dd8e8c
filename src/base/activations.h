// The activations that models' configurations name: transformers' ACT2FN and the classes of torch.nn, in one table.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace remuda {

// Element by element, with the parameters that torch.nn's classes have by default.
enum class ActivationFunction {
  kIdentity,
  kGelu,
  kGeluTanh,  // Of the tanh form, and what computes the same: gelu_new, gelu_fast, gelu_pytorch_tanh.
  kRelu,
  kTanh,
  kSilu,
  kQuickGelu,
  kSigmoid,
  kMish,
  kClippedGelu,  // gelu_10
  kLaplace,
  kReluSquared,
  kRelu6,
  kLeakyRelu,
  kRrelu,  // As it is outside training: the mean slope.
  kElu,    // Of alpha 1, as CELU is.
  kSelu,
  kSoftplus,
  kSqrtSoftplus,
  kHardswish,
  kHardsigmoid,
  kHardtanh,
  kSoftsign,
  kLogSigmoid,
  kTanhshrink,
  kSoftshrink,
  kHardshrink,
};

// By transformers' name ("gelu_new"), or by the one that name_of() gives; nullopt: there is none of this name without
// parameters of its own.
std::optional<ActivationFunction> activation_by_name(std::string_view name);

// By a class of torch.nn without its module: "GELU", "Identity".
std::optional<ActivationFunction> activation_by_torch_class(std::string_view name);

// The first of its names: "gelu_new" for all of its form, "identity".
std::string_view name_of(ActivationFunction function);

// For errors: the names of either kind, with commas between.
std::string known_activation_names();
std::string known_torch_activations();

}  // namespace remuda
