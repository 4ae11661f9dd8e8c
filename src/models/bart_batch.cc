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

int64_t BartBatch::tokens_of(const GenerationPlan& plan, int64_t ids) {
  const DecodeLimits limits = decode_limits(plan);
  return ids + limits.max_rows * limits.max_positions;
}

int64_t BartBatch::add(BatchDocument document) {
  const DecodeLimits decoded = decode_limits(*document.plan);
  const uint64_t encoding = engine_->encode_bytes(std::ssize(document.ids));
  const uint64_t decoding =
      engine_->document_bytes(std::ssize(document.ids), decoded) + engine_->step_bytes(decoded.max_rows);
  if (limits_.max_bytes > 0 && encoding + decoding > limits_.max_bytes) {
    throw OutOfMemory(fmt::format(
        "a document of {} tokens needs {} bytes to be encoded and {} to be decoded with {} sequences of {} "
        "tokens, the memory limit leaves {} bytes; raise it, or lower num_beams, max_length or the tokens "
        "of a document",
        document.ids.size(), encoding, decoding, decoded.max_rows, document.plan->max_length, limits_.max_bytes));
  }
  const int64_t number = added_++;
  Document& added = documents_[number];
  added.ids = std::move(document.ids);
  added.plan = std::move(document.plan);
  added.max_tokens = document.max_tokens.value_or(limits_.default_max_tokens);
  waiting_.push_back(number);
  return number;
}

BartBatch::Load BartBatch::load() const {
  Load sum{.documents = 0, .most_tokens = limits_.max_tokens};
  for (const int64_t number : running_) {
    const Document& document = documents_.at(number);
    sum = joined(sum, std::ssize(document.ids), *document.plan, document.max_tokens);
  }
  sum.encoding = 0;  // They are encoded.
  return sum;
}

BartBatch::Load BartBatch::joined(Load load, int64_t ids, const GenerationPlan& plan, int64_t max_tokens) const {
  const DecodeLimits decoded = decode_limits(plan);
  ++load.documents;
  load.tokens += tokens_of(plan, ids);
  load.most_tokens = std::min(load.most_tokens, max_tokens);
  load.bytes += engine_->document_bytes(ids, decoded);
  load.rows += decoded.max_rows;
  load.encoding += ids;
  return load;
}

bool BartBatch::fits(const Load& load) const {
  if (load.documents == 1) return true;
  if (load.tokens > load.most_tokens) return false;
  const uint64_t computing = engine_->encode_bytes(load.encoding) + engine_->step_bytes(load.rows);
  return limits_.max_bytes == 0 || load.bytes + computing <= limits_.max_bytes;
}

bool BartBatch::has_room(const BatchDocument& document) const {
  Load planned = load();
  for (const int64_t number : waiting_) {
    const Document& waiting = documents_.at(number);
    planned = joined(planned, std::ssize(waiting.ids), *waiting.plan, waiting.max_tokens);
  }
  const int64_t max_tokens = document.max_tokens.value_or(limits_.default_max_tokens);
  return fits(joined(planned, std::ssize(document.ids), *document.plan, max_tokens));
}

const Search* BartBatch::search(int64_t document) const {
  const auto found = documents_.find(document);
  return found == documents_.end() ? nullptr : found->second.search.get();
}

void BartBatch::forget(int64_t document) {
  std::erase(waiting_, document);
  std::erase(running_, document);
  documents_.erase(document);
}

std::span<const int64_t> BartBatch::step() {
  stepped_.clear();
  admit();
  stepped_.insert(stepped_.end(), running_.begin(), running_.end());
  try {
    decode();
  } catch (...) {  // All that were in it: nobody's fault.
    for (const int64_t number : running_) fail(number);
  }
  retire();
  return stepped_;
}

void BartBatch::admit() {
  std::vector<int64_t> joining;
  for (Load sum = load(); !waiting_.empty(); waiting_.pop_front()) {
    const Document& next = documents_.at(waiting_.front());
    const Load with_next = joined(sum, std::ssize(next.ids), *next.plan, next.max_tokens);
    if (!fits(with_next)) break;
    sum = with_next;
    joining.push_back(waiting_.front());
  }
  if (joining.empty()) return;
  try {
    encode(joining);
  } catch (...) {
    // Each for itself, so that an error is the one's that it comes of.
    for (const int64_t number : joining) {
      try {
        encode({&number, 1});
      } catch (...) {
        fail(number);
        stepped_.push_back(number);
      }
    }
  }
}

void BartBatch::encode(std::span<const int64_t> joining) {
  std::vector<int32_t> ids;
  std::vector<int64_t> offsets = {0};
  std::vector<DecodeLimits> limits;
  for (const int64_t number : joining) {
    const Document& document = documents_.at(number);
    ids.insert(ids.end(), document.ids.begin(), document.ids.end());
    offsets.push_back(std::ssize(ids));
    limits.push_back(decode_limits(*document.plan));
  }
  std::vector<std::unique_ptr<BartEngine::Document>> states = engine_->encode({ids, offsets}, limits);
  for (size_t i = 0; i < joining.size(); ++i) {
    Document& document = documents_.at(joining[i]);
    document.search = make_search(document.plan, document.ids);
    document.state = std::move(states[i]);
  }
  running_.insert(running_.end(), joining.begin(), joining.end());
}

void BartBatch::decode() {
  if (running_.empty()) return;
  steps_.clear();
  for (const int64_t number : running_) {
    const Document& document = documents_.at(number);
    steps_.push_back({.document = document.state.get(), .search = document.search.get()});
  }
  engine_->step(steps_);
  for (size_t i = 0; i < steps_.size(); ++i) documents_.at(running_[i]).error = std::move(steps_[i].error);
}

void BartBatch::fail(int64_t document) { documents_.at(document).error = std::current_exception(); }

void BartBatch::retire() {
  std::erase_if(running_, [this](int64_t number) {
    Document& document = documents_.at(number);
    if (document.error == nullptr && !document.search->finished()) return false;
    document.state.reset();
    document.ids.clear();
    return true;
  });
}

}  // namespace remuda::models
