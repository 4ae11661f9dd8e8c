#include "models/bart_batch.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "remuda/error.h"

namespace remuda::models {

DecodeLimits BartBatch::decode_limits(const GenerationPlan& plan) {
  // The last token is not fed to the decoder again.
  return {.max_rows = std::max(plan.num_beams, plan.num_return_sequences),
          .max_positions = std::max<int64_t>(1, plan.max_length - 1)};
}

int64_t BartBatch::tokens_of(const Document& document) {
  const DecodeLimits limits = decode_limits(*document.plan);
  return static_cast<int64_t>(document.ids.size()) + limits.max_rows * limits.max_positions;
}

// What it takes while it runs, its share of a step included.
uint64_t BartBatch::bytes_of(const Document& document) const {
  const DecodeLimits limits = decode_limits(*document.plan);
  return bart_.document_bytes(static_cast<int64_t>(document.ids.size()), limits) + bart_.step_bytes(limits.max_rows) +
         Workspace::matrix_bytes(limits.max_rows, bart_.config().vocab_size);
}

int64_t BartBatch::add(std::vector<int32_t> ids, std::shared_ptr<const GenerationPlan> plan) {
  Document document{.ids = std::move(ids), .plan = std::move(plan), .search = nullptr, .state = std::nullopt};
  const uint64_t encoding = bart_.encode_bytes(static_cast<int64_t>(document.ids.size()));
  const uint64_t decoding = bytes_of(document);
  if (limits_.max_bytes > 0 && encoding + decoding > limits_.max_bytes) {
    throw OutOfMemory(
        fmt::format("a document of {} tokens needs {} bytes to be encoded and {} to be decoded with {} sequences of {} "
                    "tokens, the memory limit leaves {} bytes; raise it, or lower num_beams, max_length or the tokens "
                    "of a document",
                    document.ids.size(), encoding, decoding, decode_limits(*document.plan).max_rows,
                    document.plan->max_length, limits_.max_bytes));
  }
  documents_.push_back(std::move(document));
  waiting_.push_back(static_cast<int64_t>(documents_.size()) - 1);
  return waiting_.back();
}

std::span<const int64_t> BartBatch::step() {
  admit();
  stepped_ = running_;
  rows_.clear();
  for (const int64_t number : running_) {
    Document& document = at(number);
    for (const StepRow& row : document.search->rows()) rows_.push_back({&*document.state, row.token, row.parent});
  }
  const auto rows = static_cast<int64_t>(rows_.size());
  const int64_t vocabulary = bart_.config().vocab_size;
  Workspace workspace = arena_.acquire_more(Workspace::matrix_bytes(rows, vocabulary));
  const MatrixView<float> logits = workspace.matrix(rows, vocabulary);
  bart_.decode_step(rows_, logits, arena_, pool_);
  advance(logits);
  retire();
  return stepped_;
}

void BartBatch::admit() {
  std::vector<int64_t> joining;
  int64_t encoded_tokens = 0;
  while (!waiting_.empty()) {
    const Document& next = at(waiting_.front());
    const int64_t tokens = tokens_of(next);
    const uint64_t bytes = bytes_of(next);
    const int64_t encoding = encoded_tokens + static_cast<int64_t>(next.ids.size());
    const bool fits =
        running_tokens_ + tokens <= limits_.max_tokens &&
        (limits_.max_bytes == 0 || running_bytes_ + bytes + bart_.encode_bytes(encoding) <= limits_.max_bytes);
    const bool alone = running_.empty() && joining.empty();
    if (!fits && !alone) break;
    running_tokens_ += tokens;
    running_bytes_ += bytes;
    encoded_tokens = encoding;
    joining.push_back(waiting_.front());
    waiting_.pop_front();
  }
  if (!joining.empty()) encode(joining);
}

void BartBatch::encode(std::span<const int64_t> joining) {
  std::vector<int32_t> ids;
  std::vector<int64_t> offsets = {0};
  std::vector<DecodeLimits> limits;
  for (const int64_t number : joining) {
    const Document& document = at(number);
    ids.insert(ids.end(), document.ids.begin(), document.ids.end());
    offsets.push_back(static_cast<int64_t>(ids.size()));
    limits.push_back(decode_limits(*document.plan));
  }
  std::vector<BartDocument> states = bart_.encode({ids, offsets}, limits, arena_, pool_);
  for (size_t i = 0; i < joining.size(); ++i) {
    Document& document = at(joining[i]);
    document.state.emplace(std::move(states[i]));
    document.search = make_search(document.plan, document.ids);
    running_.push_back(joining[i]);
  }
}

// The searches know nothing of each other: each on whatever thread is free.
void BartBatch::advance(MatrixView<const float> logits) {
  std::vector<int64_t> first_rows;
  int64_t row = 0;
  for (const int64_t number : running_) {
    first_rows.push_back(row);
    row += static_cast<int64_t>(at(number).search->rows().size());
  }
  pool_.parallel_for(static_cast<int64_t>(running_.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      Search& search = *at(running_[static_cast<size_t>(i)]).search;
      search.advance(logits.slice_rows(first_rows[static_cast<size_t>(i)], static_cast<int64_t>(search.rows().size())));
    }
  });
}

void BartBatch::retire() {
  std::erase_if(running_, [this](int64_t number) {
    Document& document = at(number);
    if (!document.search->finished()) return false;
    running_tokens_ -= tokens_of(document);
    running_bytes_ -= bytes_of(document);
    document.state.reset();
    document.ids.clear();
    return true;
  });
}

}  // namespace remuda::models
