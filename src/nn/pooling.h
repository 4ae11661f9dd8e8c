// From token vectors to one vector a sequence, as sentence-transformers' Pooling and Normalize modules do it.
#pragma once

#include <cstdint>
#include <span>

#include "tensor/tensor.h"

namespace remuda::nn {

enum class Pooling { kCls, kMax, kMean, kMeanSqrtLen, kWeightedMean, kLastToken };

// Pools one sequence's token vectors, [tokens, hidden_size], into out, [hidden_size].
//
//   kCls           the first token's vector
//   kMax           the maximum over tokens
//   kMean          sum / tokens
//   kMeanSqrtLen   sum / sqrt(tokens)
//   kWeightedMean  sum of t * x_t / sum of t, with positions t counted from 1
//   kLastToken     the last token's vector
//
// The first `skipped` tokens (a prompt that is not to be pooled) are left out, and kCls takes the first of
// the rest. When none is left the maximum is -infinity, kCls the first token, and all else 0, as there.
void pool_sequence(Pooling mode, MatrixView<const float> tokens, int64_t skipped, std::span<float> out);

// x / max(|x|, 1e-12), with the Euclidean norm.
void normalize(std::span<float> x);

}  // namespace remuda::nn
