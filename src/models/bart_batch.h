// Many documents decoded together by one BART ("continuous batching"): every step computes the next rows of all running
// documents' searches in one pass of the decoder. A document that has finished leaves, and waiting ones join between
// steps, as far as the limits reach.
#pragma once

#include <cstdint>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "generation/search.h"
#include "models/bart_engine.h"

namespace remuda::models {

struct BatchLimits {
  // What running documents may have together: their tokens, and the positions of their caches (sequences times length).
  // One that is larger runs alone.
  int64_t max_tokens = 8192;
  // BatchDocument::max_tokens where it isn't set.
  int64_t default_max_tokens = INT64_MAX;
  // Memory of the engine's device that running documents and a step take, in bytes; 0 for no limit.
  uint64_t max_bytes = 0;
};

// What a batch decodes.
struct BatchDocument {
  std::vector<int32_t> ids;  // As BartEngine::encode() takes them.
  std::shared_ptr<const GenerationPlan> plan;
  // As BatchLimits::max_tokens, for the time that it runs; none: its default_max_tokens.
  std::optional<int64_t> max_tokens = std::nullopt;
};

// Documents are known by numbers from 0 in the order of add(). Not thread-safe; a document's results, and its error,
// depend on it alone.
class BartBatch {
 public:
  BartBatch(std::unique_ptr<BartEngine> engine, const BatchLimits& limits)
      : engine_(std::move(engine)), limits_(limits) {}

  // A document waits from now on. Throws OutOfMemory, with the figures, where it would not fit into max_bytes alone.
  int64_t add(BatchDocument document);
  int64_t add(std::vector<int32_t> ids, std::shared_ptr<const GenerationPlan> plan) {
    return add(BatchDocument{.ids = std::move(ids), .plan = std::move(plan)});
  }

  // Whether a document that is added now joins at the next step, with all that wait.
  bool has_room(const BatchDocument& document) const;

  // Whether all documents have finished.
  bool finished() const { return running_.empty() && waiting_.empty(); }

  // Lets waiting documents join, then computes one step. Returns the documents that it was a step of; valid until the
  // next call. What goes wrong ends the documents that it concerns: see error().
  std::span<const int64_t> step();

  // The search of a document that has joined; null before, and after forget(). It stays when the document has finished.
  const Search* search(int64_t document) const;
  // Why a document of the last step ended without results; null where it didn't. What the engine and Search::advance()
  // throw.
  std::exception_ptr error(int64_t document) const { return documents_.at(document).error; }
  // Frees a document, wherever it is: it may wait, run, or have finished.
  void forget(int64_t document);

 private:
  struct Document {
    std::vector<int32_t> ids;
    std::shared_ptr<const GenerationPlan> plan;
    int64_t max_tokens = 0;
    std::unique_ptr<Search> search;
    std::unique_ptr<BartEngine::Document> state;  // While it runs.
    std::exception_ptr error;
  };

  // What documents take together.
  struct Load {
    int64_t documents = 0;
    int64_t tokens = 0;
    int64_t most_tokens = INT64_MAX;  // That each of them allows.
    uint64_t bytes = 0;               // Until they leave.
    int64_t rows = 0;                 // Of a step, at most.
    int64_t encoding = 0;             // Tokens of those that join.
  };

  static DecodeLimits decode_limits(const GenerationPlan& plan);
  static int64_t tokens_of(const GenerationPlan& plan, int64_t ids);
  Load load() const;
  Load joined(Load load, int64_t ids, const GenerationPlan& plan, int64_t max_tokens) const;
  bool fits(const Load& load) const;
  void admit();
  void encode(std::span<const int64_t> joining);
  void decode();
  void fail(int64_t document);
  void retire();

  const std::unique_ptr<BartEngine> engine_;
  const BatchLimits limits_;
  std::map<int64_t, Document> documents_;
  int64_t added_ = 0;
  std::deque<int64_t> waiting_;
  std::vector<int64_t> running_;
  // Of the step in hand.
  std::vector<int64_t> stepped_;
  std::vector<BartEngine::DocumentStep> steps_;
};

}  // namespace remuda::models
