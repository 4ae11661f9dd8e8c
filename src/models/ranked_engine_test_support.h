// An engine for tests that ranks the CPU's logits by definition, in a GPU's place.
#pragma once

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "generation/search_test_support.h"
#include "models/bart.h"
#include "models/bart_engine.h"
#include "models/ranked_step.h"

namespace remuda::models {

// [rows, k] scores and tokens of these logits.
struct RankedRows {
  RankedRows(const RankedStep& step, MatrixView<const float> logits) {
    for (int64_t row = 0; row < logits.rows && step.k() > 0; ++row) {
      const RowRanking& ranking = step.rankings()[static_cast<size_t>(row)];
      for (const Candidate& candidate : rank_row({logits.row(row), static_cast<size_t>(logits.cols)}, ranking.rules,
                                                 ranking.rules_come_first, step.k())) {
        scores.push_back(candidate.score);
        tokens.push_back(static_cast<int32_t>(candidate.index));
      }
    }
  }

  std::vector<float> scores;
  std::vector<int32_t> tokens;
};

// Copies of these rows.
class FetchedRows {
 public:
  explicit FetchedRows(MatrixView<const float> logits) : logits_(logits) {}

  MatrixView<const float> operator()(std::span<const int32_t> rows) {
    fetched_.clear();
    for (const int32_t row : rows) {
      fetched_.insert(fetched_.end(), logits_.row(row), logits_.row(row) + logits_.cols);
    }
    return {fetched_.data(), std::ssize(rows), logits_.cols};
  }

 private:
  MatrixView<const float> logits_;
  std::vector<float> fetched_;
};

class RankedEngine final : public BartEngine {
 public:
  RankedEngine(const Bart& bart, WorkspaceArena& arena, ComputePool& pool) : bart_(bart), arena_(arena), pool_(pool) {}

  const io::BartConfig& config() const override { return bart_.config(); }
  size_t document_bytes(int64_t encoder_tokens, const DecodeLimits& limits) const override {
    return bart_.document_bytes(encoder_tokens, limits);
  }
  size_t encode_bytes(int64_t tokens) const override { return bart_.encode_bytes(tokens); }
  size_t step_bytes(int64_t rows) const override { return bart_.step_bytes(rows); }

  std::vector<std::unique_ptr<Document>> encode(const RaggedIds& batch, std::span<const DecodeLimits> limits) override {
    std::vector<std::unique_ptr<Document>> documents;
    for (BartDocument& state : bart_.encode(batch, limits, arena_, pool_)) {
      documents.push_back(std::make_unique<State>(std::move(state)));
    }
    return documents;
  }

  void step(std::span<DocumentStep> documents) override {
    step_.begin(documents, pool_);
    std::vector<DecodeRow> rows;
    for (size_t i = 0; i < documents.size(); ++i) {
      BartDocument& state = static_cast<State&>(*documents[i].document).state;
      for (const auto& [token, parent] : step_.rows_of(i)) rows.push_back({&state, token, parent});
    }
    FloatTensor logits({std::ssize(rows), config().vocab_size});
    const MatrixView<float> view{logits.data(), std::ssize(rows), config().vocab_size};
    bart_.decode_step(rows, view, arena_, pool_);
    const RankedRows ranked(step_, view);
    step_.advance(ranked.scores, ranked.tokens, FetchedRows(view), pool_);
  }

 private:
  struct State final : Document {
    explicit State(BartDocument state_) : state(std::move(state_)) {}
    BartDocument state;
  };

  const Bart& bart_;
  WorkspaceArena& arena_;
  ComputePool& pool_;
  RankedStep step_;
};

}  // namespace remuda::models
