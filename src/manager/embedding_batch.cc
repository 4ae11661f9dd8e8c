#include "manager/embedding_batch.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/fail.h"
#include "device/gpu_errors.h"
#include "manager/recovery.h"

namespace remuda {
namespace {

BatchRequestOptions request_options(const EmbedOptions& options) {
  return {.what = "the embedding",
          .priority = options.priority,
          .deadline = Deadline::after(options.timeout),
          .cancelled = options.cancelled,
          .stop = options.stop};
}

bool is_cancelled(const EmbedOptions& options) {
  return options.stop.stop_requested() || (options.cancelled && options.cancelled());
}

// Whether there is no NaN and no infinity among them, by their bits, which a loop without branches looks at.
bool are_finite(std::span<const float> values) {
  constexpr uint32_t kExponent = 0x7F800000;
  uint32_t most = 0;
  for (const float value : values) most = std::max(most, std::bit_cast<uint32_t>(value) & kExponent);
  return most < kExponent;
}

}  // namespace

EmbeddingRequest::EmbeddingRequest(std::shared_ptr<const text::Tokenizer> tokenizer, TokenizedTexts texts,
                                   const EmbedOptions& options, int64_t dimension)
    : BatchRequest(request_options(options)),
      tokenizer_(std::move(tokenizer)),
      texts_(std::move(texts)),
      max_batch_tokens_(options.max_batch_tokens),
      wants_tokens_(options.token_vectors),
      order_(texts_.ids.size()) {
  std::iota(order_.begin(), order_.end(), int64_t{0});
  std::erase_if(order_, [this](int64_t i) { return ids(i).empty(); });
  std::ranges::sort(order_, {}, [this](int64_t i) { return std::pair(-std::ssize(ids(i)), i); });
  result_.dimension = dimension;
  result_.values.resize(texts_.ids.size() * static_cast<size_t>(dimension));
  if (wants_tokens_) result_.token_values.resize(texts_.ids.size());
  result_.tokens = texts_.total_tokens;
  result_.invalid_sequences = texts_.invalid_sequences;
  for (const auto& text : texts_.ids) result_.used_tokens.push_back(std::ssize(text));
}

std::span<const int64_t> EmbeddingRequest::take(int64_t max_tokens, bool at_least_one) {
  const std::span<const int64_t> waiting = returned_.empty() ? std::span(order_).subspan(next_) : returned_.back();
  size_t count = 0;
  for (int64_t tokens = 0; count < waiting.size(); ++count) {
    tokens += std::ssize(ids(waiting[count]));
    if (tokens > max_tokens && !(at_least_one && count == 0)) break;
  }
  if (returned_.empty()) {
    next_ += count;
  } else if (count == waiting.size()) {
    returned_.pop_back();
  } else {
    returned_.back() = waiting.subspan(count);
  }
  return waiting.first(count);
}

std::span<float> EmbeddingRequest::vector(int64_t text) {
  return std::span(result_.values)
      .subspan(static_cast<size_t>(text * result_.dimension), static_cast<size_t>(result_.dimension));
}

void EmbeddingRequest::set_token_vectors(int64_t text, MatrixView<const float> vectors) {
  result_.token_dimension = vectors.cols;
  result_.token_values[static_cast<size_t>(text)].assign(vectors.data, vectors.row(vectors.rows));
}

Embeddings EmbeddingRequest::take_result() {
  for (int64_t i = 0; i < result_.size(); ++i) {
    const std::span<const float> row = result_.row(i);
    if (are_finite(row)) continue;
    const auto wrong = std::ranges::find_if(row, [](float value) { return !std::isfinite(value); });
    remuda::fail(
        ErrorCode::kInvalidFile,
        "text {}: expected an embedding of finite numbers, found {} at dimension {}: the model's weights hold such "
        "numbers, or its sums are too large for the precision; try precision fp32",
        i, std::isnan(*wrong) ? "NaN" : "infinity", wrong - row.begin());
  }
  return std::move(result_);
}

void EmbeddingBatch::take(RequestQueue& queue) {
  int64_t tokens = 0;
  int64_t most = INT64_MAX;  // What every call in the batch allows.
  const int64_t default_tokens = default_tokens_();
  while (const RequestQueue::Pointer front = queue.front()) {
    auto request = std::static_pointer_cast<EmbeddingRequest>(front);
    most = std::min(most, request->max_batch_tokens().value_or(default_tokens));
    const std::span<const int64_t> texts = request->take(most - tokens, parts_.empty());
    if (texts.empty()) return;
    for (const int64_t text : texts) tokens += std::ssize(request->ids(text));
    request->begin_part();
    const bool is_full = request->has_waiting();
    parts_.push_back({std::move(request), texts, nullptr});
    queue.served();
    if (is_full) return;
  }
}

void EmbeddingBatch::step() noexcept {
  try {
    compute(parts_);
    return;
  } catch (...) {
    if (is_of_gpu(std::current_exception())) {
      place_error_ = std::current_exception();
      return;
    }
    if (parts_.size() == 1) parts_[0].error = std::current_exception();
  }
  if (parts_.size() == 1) return;
  // Each for itself, so that an error is the one's whose texts it comes of.
  for (Part& part : parts_) {
    try {
      compute({&part, 1});
    } catch (...) {
      part.error = std::current_exception();
    }
  }
  // The GPU failed in the meantime: what was computed is right, and is computed again with the rest.
  const auto failed =
      std::ranges::find_if(parts_, [](const Part& part) { return part.error != nullptr && is_of_gpu(part.error); });
  if (failed != parts_.end()) place_error_ = failed->error;
}

// Laid end to end, the results copied to the texts' rows.
void EmbeddingBatch::compute(std::span<const Part> parts) {
  ids_.clear();
  offsets_.assign(1, 0);
  prompt_tokens_.clear();
  for (const Part& part : parts) {
    for (const int64_t text : part.texts) {
      const std::vector<int32_t>& ids = part.request->ids(text);
      ids_.insert(ids_.end(), ids.begin(), ids.end());
      offsets_.push_back(std::ssize(ids_));
      prompt_tokens_.push_back(part.request->prompt_tokens());
    }
  }
  const int64_t dimension = model_.encoder->dimension();
  vectors_.resize(prompt_tokens_.size() * static_cast<size_t>(dimension));
  models::EncoderOutput out{.sentences = {vectors_.data(), std::ssize(prompt_tokens_), dimension}};
  if (std::ranges::any_of(parts, [](const Part& part) { return part.request->wants_tokens(); })) {
    token_vectors_.resize(ids_.size() * static_cast<size_t>(model_.encoder->token_dimension()));
    out.tokens = {token_vectors_.data(), std::ssize(ids_), model_.encoder->token_dimension()};
  }
  model_.encoder->forward({ids_, offsets_}, prompt_tokens_, out, pool_);
  size_t row = 0;
  for (const Part& part : parts) {
    for (const int64_t text : part.texts) {
      std::copy_n(out.sentences.row(static_cast<int64_t>(row)), dimension, part.request->vector(text).data());
      if (part.request->wants_tokens()) {
        part.request->set_token_vectors(text, out.tokens.slice_rows(offsets_[row], offsets_[row + 1] - offsets_[row]));
      }
      ++row;
    }
  }
}

void EmbeddingBatch::settle(BatchSession::Requests& changed) {
  for (Part& part : parts_) {
    part.request->end_part();
    if (part.error != nullptr) part.request->fail(part.error);
    if (part.request->is_done()) changed.push_back(std::move(part.request));
  }
  parts_.clear();
}

BatchSession::Requests EmbeddingBatch::take_back() {
  BatchSession::Requests requests;
  for (Part& part : parts_) {
    part.request->return_part();
    part.request->give_back(part.texts);
    requests.push_back(std::move(part.request));
  }
  parts_.clear();
  place_error_ = nullptr;
  return requests;
}

Embeddings embed_tokenized(const EmbeddingModel& model, TokenizedTexts texts, const EmbedOptions& options,
                           std::function<int64_t()> default_tokens, ComputePool& pool) {
  const auto request =
      std::make_shared<EmbeddingRequest>(model.tokenizer, std::move(texts), options, model.encoder->dimension());
  RequestQueue queue;
  if (request->has_waiting()) queue.push(request);
  EmbeddingBatch batch(model, std::move(default_tokens), pool);
  BatchSession::Requests changed;
  while (!request->is_done()) {
    if (is_cancelled(options)) fail(ErrorCode::kCancelled, "the embedding was cancelled");
    batch.take(queue);
    batch.step();
    if (batch.place_error() != nullptr) rethrow_to_holder(batch.place_error());
    batch.settle(changed);
  }
  if (request->error() != nullptr) std::rethrow_exception(request->error());
  return request->take_result();
}

}  // namespace remuda
