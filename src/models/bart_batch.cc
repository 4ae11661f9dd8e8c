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

// What it takes while it runs, its share of a step included.
uint64_t BartBatch::bytes_of(const GenerationPlan& plan, int64_t ids) const {
  const DecodeLimits limits = decode_limits(plan);
  return bart_.document_bytes(ids, limits) + bart_.step_bytes(limits.max_rows) +
         Workspace::matrix_bytes(limits.max_rows, bart_.config().vocab_size);
}

int64_t BartBatch::add(BatchDocument document) {
  const uint64_t encoding = bart_.encode_bytes(std::ssize(document.ids));
  const uint64_t decoding = bytes_of(*document.plan, std::ssize(document.ids));
  if (limits_.max_bytes > 0 && encoding + decoding > limits_.max_bytes) {
    throw OutOfMemory(
        fmt::format("a document of {} tokens needs {} bytes to be encoded and {} to be decoded with {} sequences of {} "
                    "tokens, the memory limit leaves {} bytes; raise it, or lower num_beams, max_length or the tokens "
                    "of a document",
                    document.ids.size(), encoding, decoding, decode_limits(*document.plan).max_rows,
                    document.plan->max_length, limits_.max_bytes));
  }
  const int64_t number = added_++;
  Document& added = documents_[number];
  added.ids = std::move(document.ids);
  added.plan = std::move(document.plan);
  added.max_tokens = document.max_tokens;
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
  ++load.documents;
  load.tokens += tokens_of(plan, ids);
  load.most_tokens = std::min(load.most_tokens, max_tokens);
  load.bytes += bytes_of(plan, ids);
  load.encoding += ids;
  return load;
}

bool BartBatch::fits(const Load& load) const {
  if (load.documents == 1) return true;
  return load.tokens <= load.most_tokens &&
         (limits_.max_bytes == 0 || load.bytes + bart_.encode_bytes(load.encoding) <= limits_.max_bytes);
}

bool BartBatch::has_room(const BatchDocument& document) const {
  Load planned = load();
  for (const int64_t number : waiting_) {
    const Document& waiting = documents_.at(number);
    planned = joined(planned, std::ssize(waiting.ids), *waiting.plan, waiting.max_tokens);
  }
  return fits(joined(planned, std::ssize(document.ids), *document.plan, document.max_tokens));
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
  const ComputePool::Computation computation(pool_);
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
  std::vector<BartDocument> states = bart_.encode({ids, offsets}, limits, arena_, pool_);
  for (size_t i = 0; i < joining.size(); ++i) {
    Document& document = documents_.at(joining[i]);
    document.search = make_search(document.plan, document.ids);
    document.state.emplace(std::move(states[i]));
  }
  running_.insert(running_.end(), joining.begin(), joining.end());
}

void BartBatch::decode() {
  rows_.clear();
  for (const int64_t number : running_) {
    Document& document = documents_.at(number);
    for (const StepRow& row : document.search->rows()) rows_.push_back({&*document.state, row.token, row.parent});
  }
  if (rows_.empty()) return;
  const auto rows = static_cast<int64_t>(rows_.size());
  const int64_t vocabulary = bart_.config().vocab_size;
  Workspace workspace = arena_.acquire_more(Workspace::matrix_bytes(rows, vocabulary));
  const MatrixView<float> logits = workspace.matrix(rows, vocabulary);
  bart_.decode_step(rows_, logits, arena_, pool_);
  advance(logits);
}

// The searches know nothing of each other: each on whatever thread is free.
void BartBatch::advance(MatrixView<const float> logits) {
  std::vector<int64_t> first_rows;
  std::vector<Document*> documents;
  int64_t row = 0;
  for (const int64_t number : running_) {
    Document& document = documents_.at(number);
    documents.push_back(&document);
    first_rows.push_back(row);
    row += std::ssize(document.search->rows());
  }
  pool_.parallel_for(std::ssize(documents), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      Document& document = *documents[static_cast<size_t>(i)];
      try {
        document.search->advance(
            logits.slice_rows(first_rows[static_cast<size_t>(i)], std::ssize(document.search->rows())));
      } catch (...) {
        document.error = std::current_exception();
      }
    }
  });
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
