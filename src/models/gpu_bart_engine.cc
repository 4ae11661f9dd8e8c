#include "models/gpu_bart_engine.h"

#include <optional>
#include <utility>
#include <vector>

#include "models/ranked_step.h"

namespace remuda::models {
namespace {

class GpuDocument final : public BartEngine::Document {
 public:
  explicit GpuDocument(std::unique_ptr<GpuBart::Document> state_) : state(std::move(state_)) {}

  const std::unique_ptr<GpuBart::Document> state;
};

class GpuEngine final : public BartEngine {
 public:
  GpuEngine(const GpuBart& bart, ComputePool& pool) : bart_(bart), pool_(pool) {}

  const io::BartConfig& config() const override { return bart_.config(); }
  size_t document_bytes(int64_t encoder_tokens, const DecodeLimits& limits) const override {
    return bart_.document_bytes(encoder_tokens, limits);
  }
  size_t encode_bytes(int64_t tokens) const override { return bart_.encode_bytes(tokens); }
  size_t step_bytes(int64_t rows) const override { return bart_.step_bytes(rows); }

  std::vector<std::unique_ptr<Document>> encode(const RaggedIds& batch, std::span<const DecodeLimits> limits) override;
  void step(std::span<DocumentStep> documents) override;

 private:
  const GpuBart& bart_;
  ComputePool& pool_;
  std::optional<GpuBart::Decoder> decoder_;  // From the first documents on.
  RankedStep step_;
  std::vector<GpuBart::Decoder::Rows> rows_;  // Of the step in hand.
};

std::vector<std::unique_ptr<BartEngine::Document>> GpuEngine::encode(const RaggedIds& batch,
                                                                     std::span<const DecodeLimits> limits) {
  if (!decoder_) decoder_.emplace(bart_);
  std::vector<std::unique_ptr<Document>> documents;
  documents.reserve(limits.size());
  for (std::unique_ptr<GpuBart::Document>& state : decoder_->encode(batch, limits)) {
    documents.push_back(std::make_unique<GpuDocument>(std::move(state)));
  }
  return documents;
}

void GpuEngine::step(std::span<DocumentStep> documents) {
  step_.begin(documents, pool_);
  if (step_.rows().empty()) return;
  rows_.clear();
  for (size_t i = 0; i < documents.size(); ++i) {
    if (step_.rows_of(i).empty()) continue;
    rows_.push_back({static_cast<GpuDocument&>(*documents[i].document).state.get(), step_.rows_of(i)});
  }
  const auto [scores, tokens] = decoder_->step(rows_, step_.rankings(), step_.k());
  step_.advance(scores, tokens, [this](std::span<const int32_t> rows) { return decoder_->fetch_logits(rows); }, pool_);
}

}  // namespace

std::unique_ptr<BartEngine> GpuBartModel::make_engine() const { return std::make_unique<GpuEngine>(bart_, pool_); }

}  // namespace remuda::models
