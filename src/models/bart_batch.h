// Many documents decoded together by one BART ("continuous batching"): every step computes the next rows of all running
// documents' searches in one pass of the decoder. A document that has finished leaves, and waiting ones join between
// steps, as far as the limits reach.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "generation/search.h"
#include "models/bart.h"

namespace remuda::models {

struct BatchLimits {
  // What running documents may have together: their tokens, and the positions of their caches (sequences times length).
  // One that is larger runs alone.
  int64_t max_tokens = 8192;
  // Memory that running documents and a step take, in bytes; 0 for no limit.
  uint64_t max_bytes = 0;
};

// Documents are known by numbers from 0 in the order of add(). Not thread-safe; a document's results depend on it
// alone.
class BartBatch {
 public:
  // All outlive the batch.
  BartBatch(const Bart& bart, const BatchLimits& limits, WorkspaceArena& arena, ComputePool& pool)
      : bart_(bart), limits_(limits), arena_(arena), pool_(pool) {}

  // A document waits from now on. ids: as Bart::encode() takes them. Throws OutOfMemory, with the figures, where it
  // would not fit into max_bytes alone.
  int64_t add(std::vector<int32_t> ids, std::shared_ptr<const GenerationPlan> plan);

  // Whether all documents have finished.
  bool finished() const { return running_.empty() && waiting_.empty(); }

  // Lets waiting documents join, then computes one step. Returns the documents that it was a step of; valid until the
  // next call. Throws what Bart::encode(), Bart::decode_step() and Search::advance() throw; then the batch is fit for
  // nothing but destruction.
  std::span<const int64_t> step();

  // The search of a document that has joined; null before, and after forget(). It stays when the document has finished.
  const Search* search(int64_t document) const { return documents_[static_cast<size_t>(document)].search.get(); }
  // Frees what is left of a document that has finished.
  void forget(int64_t document) { at(document).search.reset(); }

 private:
  struct Document {
    std::vector<int32_t> ids;
    std::shared_ptr<const GenerationPlan> plan;
    std::unique_ptr<Search> search;
    std::optional<BartDocument> state;  // While it runs.
  };

  Document& at(int64_t document) { return documents_[static_cast<size_t>(document)]; }
  static DecodeLimits decode_limits(const GenerationPlan& plan);
  static int64_t tokens_of(const Document& document);
  uint64_t bytes_of(const Document& document) const;
  void admit();
  void encode(std::span<const int64_t> joining);
  void advance(MatrixView<const float> logits);
  void retire();

  const Bart& bart_;
  const BatchLimits limits_;
  WorkspaceArena& arena_;
  ComputePool& pool_;
  std::deque<Document> documents_;
  std::deque<int64_t> waiting_;
  std::vector<int64_t> running_;
  int64_t running_tokens_ = 0;
  uint64_t running_bytes_ = 0;
  // Of the step in hand.
  std::vector<int64_t> stepped_;
  std::vector<DecodeRow> rows_;
};

}  // namespace remuda::models
