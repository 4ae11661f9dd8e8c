// What the GPU's kernels must compute, from the definitions, in double.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "kernels/activation.h"
#include "kernels/cuda/pooling_body.h"

namespace remuda::kernels::cuda {

using Doubles = std::vector<double>;

inline Doubles reference_layer_norm(Doubles row, std::span<const float> gamma, std::span<const float> beta,
                                    double epsilon) {
  const double count = static_cast<double>(row.size());
  double mean = 0.0;
  for (const double x : row) mean += x / count;
  double variance = 0.0;
  for (const double x : row) variance += (x - mean) * (x - mean) / count;
  for (size_t i = 0; i < row.size(); ++i) {
    row[i] =
        (row[i] - mean) / std::sqrt(variance + epsilon) * static_cast<double>(gamma[i]) + static_cast<double>(beta[i]);
  }
  return row;
}

inline double reference_activation(Activation activation, double x) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kGelu:
      return 0.5 * x * std::erfc(-x * std::sqrt(0.5));
    case Activation::kGeluTanh:
      return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
    case Activation::kRelu:
      return std::max(x, 0.0);
    case Activation::kTanh:
      return std::tanh(x);
  }
  return x;
}

// One column of a sequence's tokens.
inline double reference_pooled(PoolingMode mode, const Doubles& column, int skipped) {
  const int length = static_cast<int>(column.size());
  const std::span<const double> rest = std::span(column).subspan(static_cast<size_t>(std::min(skipped, length)));
  if (mode == PoolingMode::kCls) return rest.empty() ? column.front() : rest.front();
  if (mode == PoolingMode::kMax) {
    return rest.empty() ? -std::numeric_limits<double>::infinity() : *std::max_element(rest.begin(), rest.end());
  }
  if (rest.empty()) return 0.0;
  if (mode == PoolingMode::kLastToken) return rest.back();
  double sum = 0.0;
  double weights = 0.0;
  for (size_t i = 0; i < rest.size(); ++i) {
    const double weight = mode == PoolingMode::kWeightedMean ? static_cast<double>(i) + skipped + 1.0 : 1.0;
    sum += weight * rest[i];
    weights += weight;
  }
  return sum / (mode == PoolingMode::kMeanSqrtLen ? std::sqrt(weights) : weights);
}

// A batch of attention: query, key and value of a token are columns of one row of qkv.
struct AttentionCase {
  std::vector<int64_t> offsets;
  int num_heads = 0;
  int head_dim = 0;
  double scale = 1.0;
  int64_t stride = 0;
  Doubles qkv;              // [tokens, stride], as the kernel sees it: rounded.
  std::vector<float> bias;  // [num_heads, 2 * max_distance + 1], or empty
  int max_distance = 0;

  int64_t tokens() const { return offsets.back(); }
  int64_t width() const { return int64_t{num_heads} * head_dim; }
  double at(int64_t part, int64_t token, int head, int d) const {
    return qkv[static_cast<size_t>(token * stride + part * width() + head * head_dim + d)];
  }
};

// One query, [head_dim], over keys and values, [count, head_dim]; biases: [count], or empty.
inline Doubles reference_query(const Doubles& query, const Doubles& keys, const Doubles& values, double scale,
                               const Doubles& biases = {}) {
  const size_t dim = query.size();
  Doubles weights;
  for (size_t s = 0; s < keys.size() / dim; ++s) {
    double score = 0.0;
    for (size_t d = 0; d < dim; ++d) score += query[d] * keys[s * dim + d];
    weights.push_back(score * scale + (biases.empty() ? 0.0 : biases[s]));
  }
  const double maximum = *std::max_element(weights.begin(), weights.end());
  double sum = 0.0;
  for (double& weight : weights) sum += weight = std::exp(weight - maximum);
  Doubles out(dim);
  for (size_t s = 0; s < weights.size(); ++s) {
    for (size_t d = 0; d < dim; ++d) out[d] += weights[s] / sum * values[s * dim + d];
  }
  return out;
}

// A token's output of a head, [head_dim].
inline Doubles reference_attention(const AttentionCase& a, size_t sequence, int64_t token, int head) {
  Doubles query, keys, values, biases;
  for (int d = 0; d < a.head_dim; ++d) query.push_back(a.at(0, token, head, d));
  for (int64_t s = a.offsets[sequence]; s < a.offsets[sequence + 1]; ++s) {
    for (int d = 0; d < a.head_dim; ++d) {
      keys.push_back(a.at(1, s, head, d));
      values.push_back(a.at(2, s, head, d));
    }
    if (a.bias.empty()) continue;
    const int64_t entry = head * (2 * a.max_distance + 1) + s - token + a.max_distance;
    biases.push_back(static_cast<double>(a.bias[static_cast<size_t>(entry)]));
  }
  return reference_query(query, keys, values, a.scale, biases);
}

}  // namespace remuda::kernels::cuda
