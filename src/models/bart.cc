#include "models/bart.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "base/fail.h"
#include "models/bart_documents.h"

namespace remuda::models {
namespace {

// Tokens whose embeddings are read before their pages are given back: 64 KiB each, where none is near another.
constexpr int64_t kEmbedTokens = 128;

// A step's rows, by document.
struct Step {
  std::vector<int32_t> tokens;
  std::vector<int32_t> parents;
  std::vector<int32_t> positions;  // Rows of the position embeddings.
  struct Group {
    BartDocument* document;
    int64_t first_row;
    int64_t rows;
  };
  std::vector<Group> groups;
};

// Documents are few: a linear search finds one that comes twice.
Step arrange(std::span<const DecodeRow> rows) {
  Step step;
  for (size_t i = 0; i < rows.size(); ++i) {
    const DecodeRow& row = rows[i];
    check_invariant(row.document != nullptr, "every row of a step has a document");
    if (step.groups.empty() || step.groups.back().document != row.document) {
      if (std::ranges::find(step.groups, row.document, &Step::Group::document) != step.groups.end()) {
        fail(ErrorCode::kInvalidArgument, "row {} of a step: expected the rows of a document to follow each other", i);
      }
      step.groups.push_back({row.document, static_cast<int64_t>(i), 0});
    }
    ++step.groups.back().rows;
    step.tokens.push_back(row.token);
    step.parents.push_back(row.parent);
    step.positions.push_back(static_cast<int32_t>(row.document->length() + BartEmbedding::kPositionOffset));
  }
  return step;
}

}  // namespace

Bart::Bart(const io::BartConfig& config, std::shared_ptr<const io::Checkpoint> checkpoint, Precision precision,
           ComputePool& pool, std::shared_ptr<io::PackedFile> packed)
    : config_(config), checkpoint_(std::move(checkpoint)), packed_(std::move(packed)), memory_(config, precision) {
  const BartWeights weights(config_, *checkpoint_, packed_.get());
  encoder_embedding_ = weights.encoder_embedding();
  decoder_embedding_ = weights.decoder_embedding();
  // Reading biases and norms maps pages of what lies beside them, a megabyte a layer.
  for (int64_t i = 0; i < config_.encoder_layers; ++i) {
    encoder_layers_.push_back(weights.encoder_layer(i, precision, pool));
    checkpoint_->drop_pages();
  }
  for (int64_t i = 0; i < config_.decoder_layers; ++i) {
    decoder_layers_.push_back(weights.decoder_layer(i, precision, pool));
    checkpoint_->drop_pages();
  }
  output_ = weights.output(precision, pool);
  checkpoint_->drop_pages();
}

size_t Bart::bytes() const {
  size_t sum = encoder_embedding_.bytes() + decoder_embedding_.bytes() + output_.bytes();
  for (const nn::EncoderLayer& layer : encoder_layers_) sum += layer.bytes();
  for (const nn::DecoderLayer& layer : decoder_layers_) sum += layer.bytes();
  return sum;
}

size_t Bart::document_bytes(int64_t encoder_tokens, const DecodeLimits& limits) const {
  return memory_.document_blocks(encoder_tokens, limits);
}

size_t Bart::encode_bytes(int64_t tokens) const { return memory_.encode_blocks(tokens); }

size_t Bart::step_bytes(int64_t rows) const { return memory_.step_blocks(rows); }

void Bart::embed(const BartEmbedding& embedding, std::span<const int32_t> ids, std::span<const int32_t> positions,
                 MatrixView<float> hidden, ComputePool& pool) const {
  const float scale = config_.scale_embedding ? std::sqrt(static_cast<float>(config_.d_model)) : 1.0f;
  const MatrixView<const float> table{embedding.positions.data(), embedding.positions.shape()[0], config_.d_model};
  const std::array added = {kernels::AddedRows{table, positions}};
  // Before and after, as in TransformerEncoder::embed.
  checkpoint_->check_unwritten();
  kernels::gather_rows({embedding.tokens, scale}, ids, added, hidden, pool);
  checkpoint_->check_unwritten();
  // Each row that is read maps pages of others beside it; without this all of the table, 100 or 200 MB, would soon
  // count as this process's memory. Reading them again costs microseconds beside a step's milliseconds.
  checkpoint_->drop_pages(embedding.tokens);
  embedding.norm.forward_in_place(hidden, pool);
}

void Bart::run_encoder(const RaggedIds& batch, MatrixView<float> hidden, MatrixView<float> scratch,
                       ComputePool& pool) const {
  std::vector<int32_t> positions(batch.ids.size());
  for (int64_t i = 0; i < batch.sequences(); ++i) {
    std::iota(positions.begin() + batch.offsets[i], positions.begin() + batch.offsets[i + 1],
              static_cast<int32_t>(BartEmbedding::kPositionOffset));
  }
  const auto tokens = static_cast<int64_t>(batch.ids.size());
  for (int64_t first = 0; first < tokens; first += kEmbedTokens) {
    const int64_t count = std::min(kEmbedTokens, tokens - first);
    const auto part = [&](const auto& all) { return std::span(all).subspan(first, count); };
    embed(encoder_embedding_, part(batch.ids), part(positions), hidden.slice_rows(first, count), pool);
  }
  const nn::RaggedBatch ragged{batch.offsets, {}};
  for (const nn::EncoderLayer& layer : encoder_layers_) layer.forward(ragged, hidden, scratch, pool);
}

void Bart::encoder_states(const RaggedIds& batch, MatrixView<float> hidden, WorkspaceArena& arena,
                          ComputePool& pool) const {
  check_documents(config_, batch);
  Workspace workspace = arena.acquire(Workspace::matrix_bytes(hidden.rows, memory_.encode_scratch_size()));
  run_encoder(batch, hidden, workspace.matrix(hidden.rows, memory_.encode_scratch_size()), pool);
}

std::vector<BartDocument> Bart::encode(const RaggedIds& batch, std::span<const DecodeLimits> limits,
                                       WorkspaceArena& arena, ComputePool& pool) const {
  check_documents(config_, batch);
  check_limits(config_, limits, batch.sequences());
  Workspace workspace = arena.acquire(memory_.encode(batch.offsets.back()));
  const int64_t rows = memory_.tokens_at_once(batch.offsets.back());
  const MatrixView<float> hidden = workspace.matrix(rows, config_.d_model);
  const MatrixView<float> scratch = workspace.matrix(rows, memory_.encode_scratch_size());
  std::vector<BartDocument> documents;
  documents.reserve(limits.size());
  for (size_t i = 0; i < limits.size(); ++i) {
    documents.push_back(make_document(batch.offsets[i + 1] - batch.offsets[i], limits[i], arena));
  }
  encode_in_parts(batch, BartMemory::kEncodeTokens, [&](const RaggedIds& part, size_t first) {
    encode_some(part, std::span(documents).subspan(first, static_cast<size_t>(part.sequences())),
                hidden.slice_rows(0, part.offsets.back()), scratch.slice_rows(0, part.offsets.back()), pool);
  });
  return documents;
}

BartDocument Bart::make_document(int64_t encoder_tokens, const DecodeLimits& limits, WorkspaceArena& arena) const {
  return {encoder_tokens, arena.acquire(memory_.cross_attention(encoder_tokens)),
          nn::KvCache(memory_.cache_shape(limits), arena)};
}

void Bart::encode_some(const RaggedIds& batch, std::span<BartDocument> documents, MatrixView<float> hidden,
                       MatrixView<float> scratch, ComputePool& pool) const {
  run_encoder(batch, hidden, scratch, pool);
  const int64_t size = config_.d_model;
  const kernels::AttentionShape heads = memory_.decoder_heads();
  const MatrixView<float> keys_values = scratch.slice_cols(0, 2 * size);
  for (const nn::DecoderLayer& layer : decoder_layers_) {
    layer.cross_key_value.forward(hidden, keys_values, pool);
    for (size_t i = 0; i < documents.size(); ++i) {
      BartDocument& document = documents[i];
      const MatrixView<float> own = keys_values.slice_rows(batch.offsets[i], document.encoder_tokens_);
      float* memory = document.memory_.matrix(1, memory_.cross_floats(document.encoder_tokens_)).data;
      document.cross_attention_.push_back(kernels::pack_keys_values(own.slice_cols(0, size), own.slice_cols(size, size),
                                                                    heads, memory_.stored(),
                                                                    reinterpret_cast<std::byte*>(memory), pool));
    }
  }
}

void Bart::decode_step(std::span<const DecodeRow> rows, MatrixView<float> logits, WorkspaceArena& arena,
                       ComputePool& pool) const {
  const auto count = static_cast<int64_t>(rows.size());
  if (logits.rows != count || logits.cols != config_.vocab_size) {
    fail(ErrorCode::kInvalidArgument, "logits: expected room for [{}, {}], found [{}, {}]", count, config_.vocab_size,
         logits.rows, logits.cols);
  }
  if (rows.empty()) return;
  const Step step = arrange(rows);
  check_vocabulary(step.tokens, config_.vocab_size);
  const auto parents_of = [&step](const Step::Group& group) {
    return std::span(step.parents).subspan(static_cast<size_t>(group.first_row), static_cast<size_t>(group.rows));
  };
  for (const Step::Group& group : step.groups) group.document->cache_.check_advance(parents_of(group));

  Workspace workspace = arena.acquire(memory_.step(count));
  const MatrixView<float> hidden = workspace.matrix(count, config_.d_model);
  const MatrixView<float> scratch = workspace.matrix(count, memory_.step_scratch_size());
  std::vector<nn::DecoderSequences> sequences;
  sequences.reserve(step.groups.size());
  for (const Step::Group& group : step.groups) {
    nn::KvCache& cache = group.document->cache_;
    cache.advance(parents_of(group));
    sequences.push_back({group.first_row, &cache, group.document->cross_attention_});
  }
  embed(decoder_embedding_, step.tokens, step.positions, hidden, pool);
  for (int64_t i = 0; i < config_.decoder_layers; ++i) {
    decoder_layers_[static_cast<size_t>(i)].forward(i, sequences, hidden, scratch, pool);
  }
  output_.forward(hidden, logits, pool);
}

}  // namespace remuda::models
