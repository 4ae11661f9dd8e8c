#include "models/chain_modules.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/fail.h"
#include "io/checkpoint.h"

namespace remuda::models {
namespace {

// PyTorch's default, which the module doesn't change.
constexpr float kLayerNormEpsilon = 1e-5f;

// Floats in a range: enough work to hand over.
constexpr int64_t kFloatsPerRange = 8 * 1024;

int64_t rows_per_range(int64_t cols) { return std::max<int64_t>(1, kFloatsPerRange / std::max<int64_t>(cols, 1)); }

nn::Pooling pooling_of(io::PoolingMode mode) {
  switch (mode) {
    case io::PoolingMode::kCls:
      return nn::Pooling::kCls;
    case io::PoolingMode::kMax:
      return nn::Pooling::kMax;
    case io::PoolingMode::kMean:
      return nn::Pooling::kMean;
    case io::PoolingMode::kMeanSqrtLen:
      return nn::Pooling::kMeanSqrtLen;
    case io::PoolingMode::kWeightedMean:
      return nn::Pooling::kWeightedMean;
    case io::PoolingMode::kLastToken:
      return nn::Pooling::kLastToken;
  }
  fail(ErrorCode::kInternal, "unknown pooling mode {}", static_cast<int>(mode));
}

nn::Linear load_linear(const io::Checkpoint& checkpoint, const std::string& name, int64_t out, int64_t in, bool bias,
                       ComputePool& pool) {
  nn::Linear linear{kernels::PackedWeights({checkpoint.get(name + ".weight", {out, in})}, Precision::kFp32, pool), {}};
  if (bias) linear.bias = FloatTensor::from(checkpoint.get(name + ".bias", {out}));
  return linear;
}

}  // namespace

PoolingModule::PoolingModule(const io::PoolingConfig& config, ChainShape& shape)
    : pools_prompt_(config.include_prompt), token_width_(shape.tokens) {
  for (const io::PoolingMode mode : config.modes) poolings_.push_back(pooling_of(mode));
  shape.sentences = token_width_ * std::ssize(poolings_);
}

void PoolingModule::forward(ChainState& state) const {
  const RaggedIds& batch = state.batch;
  state.sentences = state.workspace.matrix(batch.sequences(), token_width_ * std::ssize(poolings_));
  for (int64_t s = 0; s < batch.sequences(); ++s) {
    const int64_t skipped = pools_prompt_ ? 0 : state.prompt_tokens[static_cast<size_t>(s)];
    const MatrixView<const float> sequence =
        state.tokens.slice_rows(batch.offsets[s], batch.offsets[s + 1] - batch.offsets[s]);
    for (size_t p = 0; p < poolings_.size(); ++p) {
      float* part = state.sentences.row(s) + static_cast<int64_t>(p) * token_width_;
      nn::pool_sequence(poolings_[p], sequence, skipped, {part, static_cast<size_t>(token_width_)});
    }
  }
}

size_t PoolingModule::workspace_bytes(int64_t, int64_t sequences) const {
  return Workspace::matrix_bytes(sequences, token_width_ * std::ssize(poolings_));
}

DenseModule::DenseModule(const io::DenseConfig& config, ComputePool& pool, ChainShape& shape)
    : activation_(config.activation), features_(config.features), residual_(config.residual) {
  const io::Checkpoint checkpoint = io::Checkpoint::open(config.directory);
  linear_ = load_linear(checkpoint, "linear", config.out_features, config.in_features, config.bias, pool);
  if (residual_ && config.in_features != config.out_features) {
    projection_ = load_linear(checkpoint, "residual", config.out_features, config.in_features, false, pool);
  }
  (features_ == io::Features::kTokens ? shape.tokens : shape.sentences) = config.out_features;
}

void DenseModule::forward(ChainState& state) const {
  MatrixView<float>& x = features_ == io::Features::kTokens ? state.tokens : state.sentences;
  const MatrixView<float> y = state.workspace.matrix(x.rows, linear_.weights.out_features());
  linear_.forward(x, y, state.pool, activation_);
  if (projection_) {
    projection_->forward(x, y, state.pool, kernels::Activation::kNone, y);
  } else if (residual_) {
    state.pool.parallel_for(y.rows, rows_per_range(y.cols), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        std::transform(y.row(row), y.row(row) + y.cols, x.row(row), y.row(row), std::plus());
      }
    });
  }
  x = y;
}

size_t DenseModule::workspace_bytes(int64_t ids, int64_t sequences) const {
  const int64_t rows = features_ == io::Features::kTokens ? ids : sequences;
  return Workspace::matrix_bytes(rows, linear_.weights.out_features());
}

void NormalizeModule::forward(ChainState& state) const {
  const MatrixView<float> x = features_ == io::Features::kTokens ? state.tokens : state.sentences;
  state.pool.parallel_for(x.rows, rows_per_range(x.cols), [&x](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) nn::normalize({x.row(row), static_cast<size_t>(x.cols)});
  });
}

LayerNormModule::LayerNormModule(const io::LayerNormConfig& config) {
  const io::Checkpoint checkpoint = io::Checkpoint::open(config.directory);
  norm_ = {FloatTensor::from(checkpoint.get("norm.weight", {config.dimension})),
           FloatTensor::from(checkpoint.get("norm.bias", {config.dimension})), kLayerNormEpsilon};
}

LayerPoolingModule::LayerPoolingModule(const io::LayerPoolingConfig& config, ChainShape& shape)
    : first_layer_(config.first_layer),
      width_(shape.layer_mean),
      weights_(FloatTensor::from(io::Checkpoint::open(config.directory).get("layer_weights", {config.num_layers}))) {
  for (int64_t i = 0; i < weights_.size(); ++i) sum_ += weights_.data()[i];
  shape.tokens = width_;
}

void LayerPoolingModule::add(int64_t layer, MatrixView<const float> hidden, MatrixView<float> mean,
                             ComputePool& pool) const {
  const int64_t index = layer - first_layer_;
  if (index < 0) return;
  const float weight = weights_.data()[index];
  const bool is_last = index + 1 == weights_.size();
  pool.parallel_for(mean.rows, rows_per_range(mean.cols), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* x = hidden.row(row);
      float* y = mean.row(row);
      for (int64_t i = 0; i < mean.cols; ++i) {
        const float sum = (index == 0 ? 0.0f : y[i]) + weight * x[i];
        y[i] = is_last ? sum / sum_ : sum;
      }
    }
  });
}

CnnModule::CnnModule(const io::CnnConfig& config, ComputePool& pool, ChainShape& shape)
    : in_features_(config.in_features), out_channels_(config.out_channels) {
  const io::Checkpoint checkpoint = io::Checkpoint::open(config.directory);
  for (size_t i = 0; i < config.kernel_sizes.size(); ++i) {
    const int64_t size = config.kernel_sizes[i];
    const std::string name = fmt::format("convs.{}", i);
    const FloatTensor filters =
        FloatTensor::from(checkpoint.get(name + ".weight", {out_channels_, in_features_, size}));
    // [out, in, place] becomes [out, place, in], as the tokens lie.
    FloatTensor matrix({out_channels_, size * in_features_});
    for (int64_t out = 0; out < out_channels_; ++out) {
      for (int64_t in = 0; in < in_features_; ++in) {
        for (int64_t place = 0; place < size; ++place) {
          matrix.data()[(out * size + place) * in_features_ + in] =
              filters.data()[(out * in_features_ + in) * size + place];
        }
      }
    }
    const TensorView view{DType::kF32, matrix.shape(), reinterpret_cast<const std::byte*>(matrix.data())};
    Convolution convolution{size, {kernels::PackedWeights({view}, Precision::kFp32, pool), {}}};
    convolution.linear.bias = FloatTensor::from(checkpoint.get(name + ".bias", {out_channels_}));
    convolutions_.push_back(std::move(convolution));
  }
  shape.tokens = out_channels_ * std::ssize(convolutions_);
}

void CnnModule::forward(ChainState& state) const {
  const MatrixView<float> out = state.workspace.matrix(state.tokens.rows, out_channels_ * std::ssize(convolutions_));
  for (size_t i = 0; i < convolutions_.size(); ++i) {
    const auto& [size, linear] = convolutions_[i];
    const MatrixView<float> windows = state.workspace.matrix(state.tokens.rows, size * in_features_);
    state.pool.parallel_for(state.batch.sequences(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t s = begin; s < end; ++s) {
        const int64_t first = state.batch.offsets[s];
        const int64_t last = state.batch.offsets[s + 1];
        for (int64_t t = first; t < last; ++t) {
          for (int64_t place = 0; place < size; ++place) {
            const int64_t token = t + place - size / 2;
            float* to = windows.row(t) + place * in_features_;
            if (token < first || token >= last) {
              std::fill_n(to, in_features_, 0.0f);
            } else {
              std::copy_n(state.tokens.row(token), in_features_, to);
            }
          }
        }
      }
    });
    linear.forward(windows, out.slice_cols(static_cast<int64_t>(i) * out_channels_, out_channels_), state.pool);
  }
  state.tokens = out;
}

size_t CnnModule::workspace_bytes(int64_t ids, int64_t) const {
  size_t bytes = Workspace::matrix_bytes(ids, out_channels_ * std::ssize(convolutions_));
  for (const Convolution& each : convolutions_) bytes += Workspace::matrix_bytes(ids, each.kernel_size * in_features_);
  return bytes;
}

size_t CnnModule::bytes() const {
  size_t sum = 0;
  for (const Convolution& each : convolutions_) sum += each.linear.bytes();
  return sum;
}

ChainModule load_module(const io::ModuleConfig& config, ComputePool& pool, ChainShape& shape) {
  struct Loader {
    ComputePool& pool;
    ChainShape& shape;

    ChainModule operator()(const io::PoolingConfig& each) const { return PoolingModule(each, shape); }
    ChainModule operator()(const io::DenseConfig& each) const { return DenseModule(each, pool, shape); }
    ChainModule operator()(const io::NormalizeConfig& each) const { return NormalizeModule(each); }
    ChainModule operator()(const io::LayerNormConfig& each) const { return LayerNormModule(each); }
    ChainModule operator()(const io::LayerPoolingConfig& each) const { return LayerPoolingModule(each, shape); }
    ChainModule operator()(const io::CnnConfig& each) const { return CnnModule(each, pool, shape); }
  };
  return std::visit(Loader{pool, shape}, config);
}

}  // namespace remuda::models
