#include "models/sentence_encoder.h"

#include <algorithm>
#include <variant>

#include "base/fail.h"
#include "device/memory_claim.h"
#include "tensor/workspace.h"

namespace remuda::models {
namespace {

// The first numbers of each row, as many as `to` has.
void copy_rows(MatrixView<const float> from, MatrixView<float> to) {
  for (int64_t r = 0; r < to.rows; ++r) std::copy_n(from.row(r), to.cols, to.row(r));
}

}  // namespace

SentenceEncoder::SentenceEncoder(const io::ModelDirectory& directory, Precision precision, ComputePool& pool,
                                 std::shared_ptr<io::PackedFile> packed)
    : transformer_(directory.encoder,
                   std::make_shared<const io::Checkpoint>(io::Checkpoint::open(directory.transformer)), precision, pool,
                   std::move(packed)),
      dimension_(directory.pipeline.dimension) {
  const int64_t hidden_size = transformer_.hidden_size();
  ChainShape shape{.tokens = hidden_size, .sentences = 0, .layer_mean = hidden_size};
  modules_.reserve(directory.pipeline.modules.size());
  for (const io::ModuleConfig& config : directory.pipeline.modules) {
    modules_.push_back(load_module(config, pool, shape));
  }
  token_dimension_ = shape.tokens;
  for (const ChainModule& module : modules_) {
    if (const auto* layers = std::get_if<LayerPoolingModule>(&module)) layer_pooling_ = layers;
  }
  check_invariant(dimension_ <= shape.sentences, "a vector is cut, never longer than the modules make it");
}

size_t SentenceEncoder::bytes() const {
  size_t sum = transformer_.bytes();
  for (const ChainModule& module : modules_) {
    sum += std::visit([](const auto& each) { return each.bytes(); }, module);
  }
  return sum;
}

size_t SentenceEncoder::workspace_bytes(const RaggedIds& batch) const {
  const int64_t tokens = batch.offsets.back();
  size_t bytes = Workspace::matrix_bytes(tokens, transformer_.hidden_size()) +
                 Workspace::matrix_bytes(tokens, transformer_.scratch_size());
  for (const ChainModule& module : modules_) {
    bytes += std::visit([&](const auto& each) { return each.workspace_bytes(tokens, batch.sequences()); }, module);
  }
  return bytes;
}

void SentenceEncoder::forward(const RaggedIds& batch, std::span<const int64_t> prompt_tokens, const EncoderOutput& out,
                              ComputePool& pool) const {
  const int64_t tokens = batch.offsets.back();
  MemoryClaim claim(&MemoryBudget::cpu());
  const uint64_t needed = WorkspaceArena::block_bytes(workspace_bytes(batch)) +
                          WorkspaceArena::block_bytes(transformer_.prepared_bytes(tokens));
  if (!claim.try_set(needed)) {
    if (batch.sequences() > 1) {
      encode_in_parts(batch, tokens / 2, [&](const RaggedIds& part, size_t first) {
        const auto count = static_cast<size_t>(part.sequences());
        EncoderOutput rows{.sentences = out.sentences.slice_rows(static_cast<int64_t>(first), part.sequences())};
        if (out.tokens.rows > 0) rows.tokens = out.tokens.slice_rows(batch.offsets[first], part.offsets.back());
        forward(part, prompt_tokens.subspan(first, count), rows, pool);
      });
      return;
    }
    claim.wait_for({.bytes = needed, .weights = bytes(), .what = "a text"});
  }
  compute(batch, prompt_tokens, out, pool);
}

void SentenceEncoder::compute(const RaggedIds& batch, std::span<const int64_t> prompt_tokens, const EncoderOutput& out,
                              ComputePool& pool) const {
  const int64_t tokens = batch.offsets.back();
  Workspace workspace = WorkspaceArena::global().acquire(workspace_bytes(batch));
  const ComputePool::Computation computation(pool);
  ChainState state{.batch = batch,
                   .prompt_tokens = prompt_tokens,
                   .workspace = workspace,
                   .pool = pool,
                   .tokens = workspace.matrix(tokens, transformer_.hidden_size()),
                   .layer_mean = {},
                   .sentences = {}};
  const MatrixView<float> scratch = workspace.matrix(tokens, transformer_.scratch_size());
  if (layer_pooling_ == nullptr) {
    transformer_.forward(batch, state.tokens, scratch, pool);
  } else {
    state.layer_mean = workspace.matrix(tokens, transformer_.hidden_size());
    transformer_.forward(batch, state.tokens, scratch, pool,
                         [&](int64_t layer) { layer_pooling_->add(layer, state.tokens, state.layer_mean, pool); });
  }
  for (const ChainModule& module : modules_) {
    std::visit([&state](const auto& each) { each.forward(state); }, module);
  }
  copy_rows(state.sentences, out.sentences);
  copy_rows(state.tokens, out.tokens);
}

}  // namespace remuda::models
