#include "nn/pooling.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace remuda::nn {
namespace {

constexpr float kMinDivisor = 1e-9f;
constexpr float kMinNorm = 1e-12f;

// out = sum over tokens of weight(t) * x_t, and the sum of the weights.
template <typename Weight>
float weighted_sum(MatrixView<const float> tokens, int64_t skipped, std::span<float> out, Weight weight) {
  std::fill(out.begin(), out.end(), 0.0f);
  float total = 0.0f;
  for (int64_t t = skipped; t < tokens.rows; ++t) {
    const float w = weight(t);
    const float* x = tokens.row(t);
    for (size_t i = 0; i < out.size(); ++i) out[i] += w * x[i];
    total += w;
  }
  return std::max(total, kMinDivisor);
}

void divide(std::span<float> x, float divisor) {
  for (float& value : x) value /= divisor;
}

}  // namespace

void pool_sequence(Pooling mode, MatrixView<const float> tokens, int64_t skipped, std::span<float> out) {
  const bool none_left = skipped >= tokens.rows;
  const auto one = [](int64_t) { return 1.0f; };
  switch (mode) {
    case Pooling::kCls:
      std::copy_n(tokens.row(none_left ? 0 : skipped), out.size(), out.begin());
      return;
    case Pooling::kLastToken:
      std::copy_n(tokens.row(tokens.rows - 1), out.size(), out.begin());
      if (none_left) std::fill(out.begin(), out.end(), 0.0f);
      return;
    case Pooling::kMax:
      std::fill(out.begin(), out.end(), -std::numeric_limits<float>::infinity());
      for (int64_t t = skipped; t < tokens.rows; ++t) {
        const float* x = tokens.row(t);
        for (size_t i = 0; i < out.size(); ++i) out[i] = std::max(out[i], x[i]);
      }
      return;
    case Pooling::kMean:
      divide(out, weighted_sum(tokens, skipped, out, one));
      return;
    case Pooling::kMeanSqrtLen:
      divide(out, std::sqrt(weighted_sum(tokens, skipped, out, one)));
      return;
    case Pooling::kWeightedMean:
      divide(out, weighted_sum(tokens, skipped, out, [](int64_t t) { return static_cast<float>(t + 1); }));
      return;
  }
}

void normalize(std::span<float> x) {
  double squares = 0.0;
  for (const float value : x) squares += static_cast<double>(value) * static_cast<double>(value);
  divide(x, std::max(static_cast<float>(std::sqrt(squares)), kMinNorm));
}

}  // namespace remuda::nn
