// Texts of many calls in one batch of an encoder.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "manager/batcher.h"
#include "manager/embedding_model.h"
#include "remuda/embedding_model_manager.h"

namespace remuda {

// The texts of a call. The longest come first, so that a batch holds texts of like length and the last batches, which
// may not occupy every thread, are short.
class EmbeddingRequest : public BatchRequest {
 public:
  // What the texts were tokenized with, the request keeps: it may be all that holds the model until there is an
  // instance, see SharedModel::tokenizer().
  EmbeddingRequest(std::shared_ptr<const text::Tokenizer> tokenizer, TokenizedTexts texts, const EmbedOptions& options,
                   int64_t dimension);

  bool has_waiting() const override { return next_ < order_.size() || !returned_.empty(); }

  // Takes the next texts that have at most max_tokens together; at least one where `at_least_one`.
  std::span<const int64_t> take(int64_t max_tokens, bool at_least_one);

  // Texts that were taken, and not computed: they wait again.
  void give_back(std::span<const int64_t> texts) { returned_.push_back(texts); }

  const std::vector<int32_t>& ids(int64_t text) const { return texts_.ids[static_cast<size_t>(text)]; }
  int64_t prompt_tokens() const { return texts_.prompt_tokens; }
  std::optional<int64_t> max_batch_tokens() const { return max_batch_tokens_; }
  std::span<float> vector(int64_t text);
  bool wants_tokens() const { return wants_tokens_; }
  void set_token_vectors(int64_t text, MatrixView<const float> vectors);

  // Once, when it is done. Throws Error(kInvalidFile), naming the text, where an embedding isn't of finite numbers.
  Embeddings take_result();

 private:
  const std::shared_ptr<const text::Tokenizer> tokenizer_;
  const TokenizedTexts texts_;
  const std::optional<int64_t> max_batch_tokens_;
  const bool wants_tokens_;
  std::vector<int64_t> order_;  // The numbers of the texts that have tokens; the vectors of others stay 0.
  size_t next_ = 0;             // In order_.
  std::vector<std::span<const int64_t>> returned_;  // Parts of order_ before that, to be taken first.
  Embeddings result_;
};

// One batch after the other. Functions are as BatchSession's.
class EmbeddingBatch {
 public:
  // default_tokens(): how many to compute at once where calls don't say; asked before each batch.
  EmbeddingBatch(const EmbeddingModel& model, std::function<int64_t()> default_tokens, ComputePool& pool)
      : model_(model), default_tokens_(std::move(default_tokens)), pool_(pool) {}

  void take(RequestQueue& queue);
  void step() noexcept;
  void settle(BatchSession::Requests& changed);
  const std::exception_ptr& place_error() const { return place_error_; }
  BatchSession::Requests take_back();
  bool is_idle() const { return parts_.empty(); }

 private:
  struct Part {
    std::shared_ptr<EmbeddingRequest> request;
    std::span<const int64_t> texts;
    std::exception_ptr error;
  };

  void compute(std::span<const Part> parts);

  const EmbeddingModel& model_;
  const std::function<int64_t()> default_tokens_;
  ComputePool& pool_;
  std::vector<Part> parts_;
  std::exception_ptr place_error_;
  // Of the batch in hand.
  std::vector<int32_t> ids_;
  std::vector<int64_t> offsets_;
  std::vector<int64_t> prompt_tokens_;
  std::vector<float> vectors_;
  std::vector<float> token_vectors_;
};

// All of a call's texts, joined with nobody's. Throws Error(kCancelled) between batches once the options say so.
Embeddings embed_tokenized(const EmbeddingModel& model, TokenizedTexts texts, const EmbedOptions& options,
                           std::function<int64_t()> default_tokens, ComputePool& pool);

}  // namespace remuda
