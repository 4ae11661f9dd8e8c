// The modules of a sentence-transformers chain behind its transformer, on the CPU.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "io/module_config.h"
#include "models/transformer_encoder.h"
#include "nn/layers.h"
#include "nn/pooling.h"
#include "tensor/workspace.h"

namespace remuda::models {

// What passes from module to module: views of the workspace. A sequence's rows depend on nobody else's.
struct ChainState {
  const RaggedIds& batch;
  std::span<const int64_t> prompt_tokens;
  Workspace& workspace;
  ComputePool& pool;
  MatrixView<float> tokens;      // [ids, width]
  MatrixView<float> layer_mean;  // [ids, hidden_size], where a LayerPooling wants it.
  MatrixView<float> sentences;   // [sequences, width], once there is a Pooling.
};

// The widths that a module is given, and, once it has been added, gives.
struct ChainShape {
  int64_t tokens = 0;
  int64_t sentences = 0;
  int64_t layer_mean = 0;
};

// Each module: what it computes, the workspace that it takes for so many ids and sequences, and what it holds.
class PoolingModule {
 public:
  PoolingModule(const io::PoolingConfig& config, ChainShape& shape);
  void forward(ChainState& state) const;
  size_t workspace_bytes(int64_t ids, int64_t sequences) const;
  static size_t bytes() { return 0; }

 private:
  std::vector<nn::Pooling> poolings_;
  bool pools_prompt_;
  int64_t token_width_;
};

class DenseModule {
 public:
  DenseModule(const io::DenseConfig& config, ComputePool& pool, ChainShape& shape);
  void forward(ChainState& state) const;
  size_t workspace_bytes(int64_t ids, int64_t sequences) const;
  size_t bytes() const { return linear_.bytes() + (projection_ ? projection_->bytes() : 0); }

 private:
  nn::Linear linear_;
  ActivationFunction activation_;
  io::Features features_;
  bool residual_;
  std::optional<nn::Linear> projection_;  // Of the input, to be added.
};

class NormalizeModule {
 public:
  explicit NormalizeModule(const io::NormalizeConfig& config) : features_(config.features) {}
  void forward(ChainState& state) const;
  static size_t workspace_bytes(int64_t, int64_t) { return 0; }
  static size_t bytes() { return 0; }

 private:
  io::Features features_;
};

class LayerNormModule {
 public:
  explicit LayerNormModule(const io::LayerNormConfig& config);
  void forward(ChainState& state) const { norm_.forward_in_place(state.sentences, state.pool); }
  static size_t workspace_bytes(int64_t, int64_t) { return 0; }
  size_t bytes() const { return norm_.bytes(); }

 private:
  nn::LayerNorm norm_;
};

// The mean is made while the transformer computes its layers, see SentenceEncoder::forward().
class LayerPoolingModule {
 public:
  LayerPoolingModule(const io::LayerPoolingConfig& config, ChainShape& shape);
  static void forward(ChainState& state) { state.tokens = state.layer_mean; }
  // Adds what a layer gave, 0 being the embeddings; the first and the last of them begin and end the mean.
  void add(int64_t layer, MatrixView<const float> hidden, MatrixView<float> mean, ComputePool& pool) const;
  size_t workspace_bytes(int64_t ids, int64_t) const { return Workspace::matrix_bytes(ids, width_); }
  size_t bytes() const { return weights_.bytes(); }

 private:
  int64_t first_layer_;
  int64_t width_;
  FloatTensor weights_;
  float sum_ = 0.0f;
};

class CnnModule {
 public:
  CnnModule(const io::CnnConfig& config, ComputePool& pool, ChainShape& shape);
  void forward(ChainState& state) const;
  size_t workspace_bytes(int64_t ids, int64_t) const;
  size_t bytes() const;

 private:
  // A product with the tokens around each token, laid side by side.
  struct Convolution {
    int64_t kernel_size = 1;
    nn::Linear linear;
  };

  int64_t in_features_;
  int64_t out_channels_;
  std::vector<Convolution> convolutions_;
};

using ChainModule =
    std::variant<PoolingModule, DenseModule, NormalizeModule, LayerNormModule, LayerPoolingModule, CnnModule>;

// Loads the module's weights, in fp32 whatever the model's precision: they are small. Throws Error.
ChainModule load_module(const io::ModuleConfig& config, ComputePool& pool, ChainShape& shape);

}  // namespace remuda::models
