#include "kernels/scalar_activations.h"

#include <algorithm>
#include <cmath>

#include "base/fail.h"

namespace remuda::kernels {
namespace {

// Limits that let a NaN through, as torch.clamp does.
float limited(float x, float least, float most) { return std::isnan(x) ? x : std::clamp(x, least, most); }

float above_zero(float x) { return x < 0.0f ? 0.0f : x; }

// Linear above 20, where the exponential would say the same.
float softplus(float x) { return x > 20.0f ? x : std::log1p(std::exp(x)); }

float of_element(ActivationFunction function, float x) {
  constexpr float kSeluScale = 1.0507009873554804934193349852946f;
  constexpr float kSeluAlpha = 1.6732632423543772848170429916717f;
  constexpr float kShrink = 0.5f;
  switch (function) {
    case ActivationFunction::kClippedGelu:
      return limited(x, -10.0f, 10.0f);
    case ActivationFunction::kLaplace:
      return 0.5f * (1.0f + std::erf((x - 0.707107f) / (0.282095f * std::sqrt(2.0f))));
    case ActivationFunction::kReluSquared:
      return above_zero(x) * above_zero(x);
    case ActivationFunction::kRelu6:
      return limited(x, 0.0f, 6.0f);
    case ActivationFunction::kLeakyRelu:
      return x < 0.0f ? 0.01f * x : x;
    case ActivationFunction::kRrelu:
      return x < 0.0f ? x * ((1.0f / 8.0f + 1.0f / 3.0f) / 2.0f) : x;
    case ActivationFunction::kElu:
      return x < 0.0f ? std::expm1(x) : x;
    case ActivationFunction::kSelu:
      return kSeluScale * (x < 0.0f ? kSeluAlpha * std::expm1(x) : x);
    case ActivationFunction::kSoftplus:
      return softplus(x);
    case ActivationFunction::kSqrtSoftplus:
      return std::sqrt(softplus(x));
    case ActivationFunction::kHardswish:
      return x * limited(x + 3.0f, 0.0f, 6.0f) / 6.0f;
    case ActivationFunction::kHardsigmoid:
      return limited(x + 3.0f, 0.0f, 6.0f) / 6.0f;
    case ActivationFunction::kHardtanh:
      return limited(x, -1.0f, 1.0f);
    case ActivationFunction::kSoftsign:
      return x / (1.0f + std::abs(x));
    case ActivationFunction::kLogSigmoid:
      return (x < 0.0f ? x : 0.0f) - std::log1p(std::exp(-std::abs(x)));
    case ActivationFunction::kTanhshrink:
      return x - std::tanh(x);
    case ActivationFunction::kSoftshrink:
      return x > kShrink ? x - kShrink : x < -kShrink ? x + kShrink : x * 0.0f;
    case ActivationFunction::kHardshrink:
      return x >= -kShrink && x <= kShrink ? 0.0f : x;
    default:
      break;
  }
  fail(ErrorCode::kInternal, "activation {} has a kernel of its own", static_cast<int>(function));
}

}  // namespace

void apply_scalar(ActivationFunction function, float* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = of_element(function, x[i]);
}

}  // namespace remuda::kernels
