#include "models/bart_batch.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "device/gpu_errors.h"
#include "remuda/error.h"

namespace remuda::models {

DecodeLimits BartBatch::decode_limits(const GenerationPlan& plan) {
  // The last token is not fed to the decoder again.
  return {.max_rows = std::max(plan.num_beams, plan.num_return_sequences),
          .max_positions = std::max<int64_t>(1, plan.longest - 1)};
}

int64_t BartBatch::tokens_of(const GenerationPlan& plan, int64_t ids) {
  const DecodeLimits limits = decode_limits(plan);
  return ids + limits.max_rows * limits.max_positions;
}

// Throws OutOfMemory where a document doesn't fit into so many bytes of a device (empty: it never will) alone.
void BartBatch::check_alone(int64_t ids, const GenerationPlan& plan, uint64_t bytes, const std::string& device) const {
  const DecodeLimits decoded = decode_limits(plan);
  const uint64_t encoding = engine_->encode_bytes(ids);
  const uint64_t decoding = engine_->document_bytes(ids, decoded) + engine_->step_bytes(decoded.max_rows);
  if (need(joined({}, ids, plan, INT64_MAX)) <= bytes) return;
  const std::string needs = fmt::format(
      "a document of {} tokens needs {} bytes to be encoded and {} to be decoded with {} sequences of {} tokens", ids,
      encoding, decoding, decoded.max_rows, plan.longest);
  constexpr const char* kLess = "lower num_beams, max_length or the tokens of a document";
  if (device.empty()) {
    throw OutOfMemory(fmt::format("{}, the memory limit leaves {} bytes; raise it, or {}", needs, bytes, kLess));
  }
  throw OutOfMemory(fmt::format("{}: {}, {} bytes are left at the moment; {}", device, needs, bytes, kLess), device);
}

int64_t BartBatch::add(BatchDocument document) {
  const uint64_t most = std::min(max_bytes(), claim_.most_beside(limits_.weights));
  check_alone(std::ssize(document.ids), *document.plan, most, /*device=*/{});
  const int64_t number = added_++;
  Document& added = documents_[number];
  added.ids = std::move(document.ids);
  added.plan = std::move(document.plan);
  added.max_tokens = document.max_tokens.value_or(limits_.max_tokens);
  waiting_.push_back(number);
  return number;
}

BartBatch::Load BartBatch::load() const {
  Load sum;
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
  if (load.documents > most_documents_) return false;
  if (load.tokens > load.most_tokens) return false;
  return need(load) <= std::min({max_bytes(), room_.share, claim_.attainable()});
}

// Bytes that documents take together. On a CPU a step has the place of what they were encoded with.
uint64_t BartBatch::need(const Load& load) const {
  if (load.documents == 0) return 0;
  const uint64_t encoding = load.encoding == 0 ? 0 : engine_->encode_bytes(load.encoding);
  const uint64_t stepping = engine_->step_bytes(load.rows);
  return load.bytes + (limits_.budget != nullptr ? std::max(encoding, stepping) : encoding + stepping);
}

// What those that run take with those that are to join.
BartBatch::Room BartBatch::claim(std::span<const int64_t> joining) {
  Load sum = load();
  for (const int64_t number : joining) {
    const Document& next = documents_.at(number);
    sum = joined(sum, std::ssize(next.ids), *next.plan, next.max_tokens);
  }
  const uint64_t bytes = need(sum);
  if (claim_.try_set(bytes)) return Room::kHad;
  if (joining.size() > 1) return Room::kFewer;
  if (!running_.empty()) return Room::kLater;
  try {
    const MemoryNeed wanted{.bytes = bytes, .weights = limits_.weights, .what = "a document"};
    return claim_.wait_for(wanted, kMemoryPatience) ? Room::kHad : Room::kLater;
  } catch (...) {  // The next one's wait begins with the next step, by which its call may be over.
    fail(joining[0]);
    stepped_.push_back(joining[0]);
    waiting_.pop_front();
    return Room::kLater;
  }
}

void BartBatch::claim_what_runs() { claim_.try_set(need(load())); }

bool BartBatch::has_room(const BatchDocument& document) const {
  Load planned = load();
  for (const int64_t number : waiting_) {
    const Document& waiting = documents_.at(number);
    planned = joined(planned, std::ssize(waiting.ids), *waiting.plan, waiting.max_tokens);
  }
  const int64_t max_tokens = document.max_tokens.value_or(limits_.max_tokens);
  return fits(joined(planned, std::ssize(document.ids), *document.plan, max_tokens));
}

const Search* BartBatch::search(int64_t document) const {
  const auto found = documents_.find(document);
  return found == documents_.end() ? nullptr : found->second.search.get();
}

void BartBatch::forget(int64_t document) {
  std::erase(waiting_, document);
  documents_.erase(document);
  if (std::erase(running_, document) > 0) claim_what_runs();
  if (finished()) claim_.give_up_waiting();
}

std::span<const int64_t> BartBatch::step() {
  stepped_.clear();
  do admit();
  while (!decode());
  stepped_.insert(stepped_.end(), running_.begin(), running_.end());
  retire();
  return stepped_;
}

std::vector<int64_t> BartBatch::next_to_join(int64_t most) const {
  std::vector<int64_t> joining;
  Load sum = load();
  for (const int64_t number : waiting_) {
    const Document& next = documents_.at(number);
    sum = joined(sum, std::ssize(next.ids), *next.plan, next.max_tokens);
    if (std::ssize(joining) == most || !fits(sum)) break;
    joining.push_back(number);
  }
  return joining;
}

void BartBatch::admit() {
  for (int64_t most_at_once = INT64_MAX;;) {
    const std::vector<int64_t> joining = next_to_join(most_at_once);
    if (joining.empty()) return;
    try {
      const Room room = claim(joining);
      if (room == Room::kLater) return;
      if (room == Room::kFewer) {
        most_at_once = std::ssize(joining) / 2;
        continue;
      }
      std::optional<GpuMemoryPatience> patience;
      const bool is_alone = running_.empty() && joining.size() == 1;
      if (!is_alone) patience.emplace(Deadline::Clock::duration(0));  // Fewer can go on without waiting.
      if (is_alone) {
        const Document& alone = documents_.at(joining[0]);
        check_alone(std::ssize(alone.ids), *alone.plan, room_.bytes, room_.device);
      }
      encode(joining);
      claim_what_runs();
    } catch (...) {
      claim_what_runs();
      if (is_of_gpu(std::current_exception())) {
        make_do_with(std::ssize(running_) + std::ssize(joining) / 2);
        continue;
      }
      if (joining.size() > 1) {
        most_at_once = 1;  // So that an error is the one's that it comes of.
        continue;
      }
      fail(joining[0]);
      stepped_.push_back(joining[0]);
    }
    waiting_.erase(waiting_.begin(), waiting_.begin() + std::ssize(joining));
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

// False: the GPU has no memory for so many, who all wait again.
bool BartBatch::decode() {
  if (running_.empty()) return true;
  steps_.clear();
  for (const int64_t number : running_) {
    const Document& document = documents_.at(number);
    steps_.push_back({.document = document.state.get(), .search = document.search.get()});
  }
  try {
    claim_.report_progress();
    engine_->step(steps_);
    for (size_t i = 0; i < steps_.size(); ++i) documents_.at(running_[i]).error = std::move(steps_[i].error);
  } catch (...) {
    if (is_of_gpu(std::current_exception())) {
      make_do_with(std::ssize(running_) / 2);
      preempt();
      return false;
    }
    for (const int64_t number : running_) fail(number);  // All that were in it: nobody's fault.
  }
  return true;
}

void BartBatch::preempt() {
  for (const int64_t number : running_) documents_.at(number).state.reset();
  waiting_.insert(waiting_.begin(), running_.begin(), running_.end());
  running_.clear();
}

// In a handler of a GPU's error, which goes on where fewer documents would not help.
void BartBatch::make_do_with(int64_t documents) {
  try {
    throw;
  } catch (const OutOfMemory&) {
    if (documents == 0) throw;
  }
  most_documents_ = documents;
  finished_since_ = 0;
}

void BartBatch::fail(int64_t document) { documents_.at(document).error = std::current_exception(); }

void BartBatch::retire() {
  const auto retired = std::erase_if(running_, [this](int64_t number) {
    Document& document = documents_.at(number);
    if (document.error == nullptr && !document.search->finished()) return false;
    document.state.reset();
    document.ids.clear();
    // When all that run have changed: there may be more memory by now. To try costs their progress.
    if (most_documents_ < INT64_MAX && ++finished_since_ >= most_documents_) {
      ++most_documents_;
      finished_since_ = 0;
    }
    return true;
  });
  if (retired > 0) claim_what_runs();
}

}  // namespace remuda::models
