#include "models/cpu_bart.h"

#include <exception>
#include <utility>
#include <vector>

namespace remuda::models {
namespace {

class CpuDocument final : public BartEngine::Document {
 public:
  explicit CpuDocument(BartDocument state_) : state(std::move(state_)) {}

  BartDocument state;
};

class CpuEngine final : public BartEngine {
 public:
  CpuEngine(const Bart& bart, WorkspaceArena& arena, ComputePool& pool) : bart_(bart), arena_(arena), pool_(pool) {}

  const io::BartConfig& config() const override { return bart_.config(); }
  size_t document_bytes(int64_t encoder_tokens, const DecodeLimits& limits) const override {
    return bart_.document_bytes(encoder_tokens, limits);
  }
  size_t encode_bytes(int64_t tokens) const override { return bart_.encode_bytes(tokens); }
  size_t step_bytes(int64_t rows) const override { return bart_.step_bytes(rows); }

  std::vector<std::unique_ptr<Document>> encode(const RaggedIds& batch, std::span<const DecodeLimits> limits) override;
  void step(std::span<DocumentStep> documents) override;

 private:
  void advance(std::span<DocumentStep> documents, MatrixView<const float> logits);

  const Bart& bart_;
  WorkspaceArena& arena_;
  ComputePool& pool_;
  // Of the step in hand.
  std::vector<DecodeRow> rows_;
  std::vector<int64_t> first_rows_;  // Of each document.
};

std::vector<std::unique_ptr<BartEngine::Document>> CpuEngine::encode(const RaggedIds& batch,
                                                                     std::span<const DecodeLimits> limits) {
  const ComputePool::Computation computation(pool_);
  std::vector<std::unique_ptr<Document>> documents;
  documents.reserve(limits.size());
  for (BartDocument& state : bart_.encode(batch, limits, arena_, pool_)) {
    documents.push_back(std::make_unique<CpuDocument>(std::move(state)));
  }
  return documents;
}

void CpuEngine::step(std::span<DocumentStep> documents) {
  const ComputePool::Computation computation(pool_);
  rows_.clear();
  first_rows_.clear();
  for (const DocumentStep& step : documents) {
    BartDocument& state = static_cast<CpuDocument&>(*step.document).state;
    first_rows_.push_back(std::ssize(rows_));
    for (const StepRow& row : step.search->rows()) rows_.push_back({&state, row.token, row.parent});
  }
  const int64_t rows = std::ssize(rows_);
  Workspace workspace = arena_.acquire(Workspace::matrix_bytes(rows, bart_.config().vocab_size));
  const MatrixView<float> logits = workspace.matrix(rows, bart_.config().vocab_size);
  bart_.decode_step(rows_, logits, arena_, pool_);
  advance(documents, logits);
}

// The searches know nothing of each other: each on whatever thread is free.
void CpuEngine::advance(std::span<DocumentStep> documents, MatrixView<const float> logits) {
  pool_.parallel_for(std::ssize(documents), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      DocumentStep& step = documents[static_cast<size_t>(i)];
      try {
        const int64_t rows = std::ssize(step.search->rows());
        step.search->advance(logits.slice_rows(first_rows_[static_cast<size_t>(i)], rows));
      } catch (...) {
        step.error = std::current_exception();
      }
    }
  });
}

}  // namespace

std::unique_ptr<BartEngine> make_cpu_engine(const Bart& bart, WorkspaceArena& arena, ComputePool& pool) {
  return std::make_unique<CpuEngine>(bart, arena, pool);
}

}  // namespace remuda::models
