// The modules that sentence-transformers puts behind a transformer, as their configurations have them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <variant>
#include <vector>

#include "base/activations.h"

namespace remuda::io {

enum class PoolingMode { kCls, kMax, kMean, kMeanSqrtLen, kWeightedMean, kLastToken };

// What a module reads and replaces: a vector for each token, or the text's.
enum class Features { kTokens, kSentence };

struct PoolingConfig {
  std::vector<PoolingMode> modes;  // Concatenated, in this order (sentence-transformers' order).
  bool include_prompt = true;
};

// residual + activation(linear(x)).
struct DenseConfig {
  int64_t in_features = 0;
  int64_t out_features = 0;
  bool bias = true;
  ActivationFunction activation = ActivationFunction::kTanh;
  Features features = Features::kSentence;
  bool residual = false;                 // x itself or, where the sizes differ, a projection of it.
  std::filesystem::path directory = {};  // Where its weights are; so in the others.
};

struct NormalizeConfig {
  Features features = Features::kSentence;
};

// Of the text's vector.
struct LayerNormConfig {
  int64_t dimension = 0;
  std::filesystem::path directory = {};
};

// Token vectors become the weighted mean of what the transformer's layers gave: layer 0 is the embeddings.
struct LayerPoolingConfig {
  int64_t first_layer = 0;
  int64_t num_layers = 0;  // Layers that have a weight.
  std::filesystem::path directory = {};
};

// Convolutions over a text's tokens, side by side, each with zeros before the first and behind the last.
struct CnnConfig {
  int64_t in_features = 0;
  int64_t out_channels = 0;           // Of each.
  std::vector<int64_t> kernel_sizes;  // Odd.
  std::filesystem::path directory = {};
};

using ModuleConfig =
    std::variant<PoolingConfig, DenseConfig, NormalizeConfig, LayerNormConfig, LayerPoolingConfig, CnnConfig>;

}  // namespace remuda::io
