#include "models/sentence_encoder.h"

#include <algorithm>

#include "base/fail.h"
#include "device/memory_claim.h"
#include "models/weight_reader.h"
#include "tensor/workspace.h"

namespace remuda::models {
namespace {

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

}  // namespace

SentenceEncoder::SentenceEncoder(const io::ModelDirectory& directory, Precision precision, ComputePool& pool,
                                 std::shared_ptr<io::PackedFile> packed)
    : transformer_(directory.encoder,
                   std::make_shared<const io::Checkpoint>(io::Checkpoint::open(directory.transformer)), precision, pool,
                   std::move(packed)),
      pools_prompt_(directory.pipeline.pooling.include_prompt),
      normalize_(directory.pipeline.normalize) {
  for (const io::PoolingMode mode : directory.pipeline.pooling.modes) poolings_.push_back(pooling_of(mode));
  int64_t size = pooled_size();
  for (const io::DenseConfig& config : directory.pipeline.dense) {
    if (config.in_features != size) {
      fail(ErrorCode::kInvalidFile, "{}: in_features: expected {}, the size of what comes before, found {}",
           (config.directory / "config.json").string(), size, config.in_features);
    }
    const io::Checkpoint checkpoint = io::Checkpoint::open(config.directory);
    // In fp32 whatever the precision: it is one small product a text.
    Dense dense{{kernels::PackedWeights({checkpoint.get("linear.weight", {config.out_features, config.in_features})},
                                        Precision::kFp32, pool),
                 {}},
                dense_activation_of(config.activation)};
    if (config.bias) {
      dense.linear.bias = FloatTensor::from(checkpoint.get("linear.bias", {config.out_features}));
    }
    dense_.push_back(std::move(dense));
    size = config.out_features;
  }
}

int64_t SentenceEncoder::pooled_size() const {
  return static_cast<int64_t>(poolings_.size()) * transformer_.hidden_size();
}

int64_t SentenceEncoder::dimension() const {
  return dense_.empty() ? pooled_size() : dense_.back().linear.weights.out_features();
}

size_t SentenceEncoder::bytes() const {
  size_t sum = transformer_.bytes();
  for (const Dense& dense : dense_) sum += dense.linear.bytes();
  return sum;
}

size_t SentenceEncoder::workspace_bytes(const RaggedIds& batch) const {
  const int64_t tokens = batch.offsets.back();
  size_t bytes = Workspace::matrix_bytes(tokens, transformer_.hidden_size()) +
                 Workspace::matrix_bytes(tokens, transformer_.scratch_size()) +
                 Workspace::matrix_bytes(batch.sequences(), pooled_size());
  for (const Dense& dense : dense_) {
    bytes += Workspace::matrix_bytes(batch.sequences(), dense.linear.weights.out_features());
  }
  return bytes;
}

void SentenceEncoder::forward(const RaggedIds& batch, std::span<const int64_t> prompt_tokens, MatrixView<float> out,
                              ComputePool& pool) const {
  const int64_t tokens = batch.offsets.back();
  MemoryClaim claim(&MemoryBudget::cpu());
  const uint64_t needed = WorkspaceArena::block_bytes(workspace_bytes(batch)) +
                          WorkspaceArena::block_bytes(transformer_.prepared_bytes(tokens));
  if (!claim.try_set(needed)) {
    if (batch.sequences() > 1) {
      encode_in_parts(batch, tokens / 2, [&](const RaggedIds& part, size_t first) {
        const auto count = static_cast<size_t>(part.sequences());
        forward(part, prompt_tokens.subspan(first, count),
                out.slice_rows(static_cast<int64_t>(first), part.sequences()), pool);
      });
      return;
    }
    claim.wait_for({.bytes = needed, .weights = bytes(), .what = "a text"});
  }
  compute(batch, prompt_tokens, out, pool);
}

void SentenceEncoder::compute(const RaggedIds& batch, std::span<const int64_t> prompt_tokens, MatrixView<float> out,
                              ComputePool& pool) const {
  const int64_t tokens = batch.offsets.back();
  const int64_t hidden_size = transformer_.hidden_size();
  Workspace workspace = WorkspaceArena::global().acquire(workspace_bytes(batch));
  const ComputePool::Computation computation(pool);
  const MatrixView<float> hidden = workspace.matrix(tokens, hidden_size);
  transformer_.forward(batch, hidden, workspace.matrix(tokens, transformer_.scratch_size()), pool);

  MatrixView<float> vectors = dense_.empty() ? out : workspace.matrix(batch.sequences(), pooled_size());
  for (int64_t s = 0; s < batch.sequences(); ++s) {
    const int64_t skipped = pools_prompt_ ? 0 : prompt_tokens[static_cast<size_t>(s)];
    const MatrixView<const float> sequence =
        hidden.slice_rows(batch.offsets[s], batch.offsets[s + 1] - batch.offsets[s]);
    for (size_t p = 0; p < poolings_.size(); ++p) {
      float* part = vectors.row(s) + static_cast<int64_t>(p) * hidden_size;
      nn::pool_sequence(poolings_[p], sequence, skipped, {part, static_cast<size_t>(hidden_size)});
    }
  }
  for (size_t d = 0; d < dense_.size(); ++d) {
    const bool last = d + 1 == dense_.size();
    const MatrixView<float> next =
        last ? out : workspace.matrix(batch.sequences(), dense_[d].linear.weights.out_features());
    dense_[d].linear.forward(vectors, next, pool, dense_[d].activation);
    vectors = next;
  }
  if (!normalize_) return;
  for (int64_t s = 0; s < out.rows; ++s) nn::normalize({out.row(s), static_cast<size_t>(out.cols)});
}

}  // namespace remuda::models
