// Many documents decoded together by one BART ("continuous batching"): every step computes the next rows of all running
// documents' searches in one pass of the decoder. A document that has finished leaves, and waiting ones join between
// steps, as far as the limits reach.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "device/memory_claim.h"
#include "generation/search.h"
#include "models/bart_engine.h"

namespace remuda::models {

struct BatchLimits {
  // What running documents may have together, where they say nothing themselves: their tokens, and the positions of
  // their caches (sequences times length). One that is larger runs alone.
  int64_t max_tokens = 8192;
  // Memory of the engine's device that running documents and a step take, in bytes; 0 for no limit.
  uint64_t max_bytes = 0;
  // On a CPU: what the engine's workspaces are of, and bytes of its weights there; null: nobody counts them. Documents
  // run whose memory could be claimed of it.
  MemoryBudget* budget = nullptr;
  uint64_t weights = 0;
};

// A GPU's memory as it is at the moment.
struct GpuRoom {
  std::string device;
  uint64_t bytes = UINT64_MAX;  // That a document alone may take of it, until it has finished.
  uint64_t share = UINT64_MAX;  // That several may take together, as others in the process are to have as much.
};

// What a batch decodes.
struct BatchDocument {
  std::vector<int32_t> ids;  // As BartEngine::encode() takes them.
  std::shared_ptr<const GenerationPlan> plan;
  // In the place of BatchLimits::max_tokens, for the time that it runs.
  std::optional<int64_t> max_tokens = std::nullopt;
};

// All that documents will come to is claimed before they join: they never wait for memory once they run, and a batch
// that waits for some has none. Where there is none for more documents, fewer run at once.
//
// Documents are known by numbers from 0 in the order of add(). Not thread-safe; a document's results, and its error,
// depend on it alone.
class BartBatch {
 public:
  BartBatch(std::unique_ptr<BartEngine> engine, const BatchLimits& limits)
      : engine_(std::move(engine)), limits_(limits), claim_(limits.budget) {}

  // Others have the rest of max_bytes: until it is called again, what runs fits into this.
  void set_room(GpuRoom room) { room_ = std::move(room); }

  // A document waits from now on. Throws OutOfMemory, with the figures, where it would not fit into max_bytes alone.
  int64_t add(BatchDocument document);
  int64_t add(std::vector<int32_t> ids, std::shared_ptr<const GenerationPlan> plan) {
    return add(BatchDocument{.ids = std::move(ids), .plan = std::move(plan)});
  }

  // Whether a document that is added now joins at the next step, with all that wait.
  bool has_room(const BatchDocument& document) const;

  // The longest that step() waits for memory, so that its caller may look at deadlines.
  static constexpr std::chrono::milliseconds kMemoryPatience{20};

  // Whether all documents have finished.
  bool finished() const { return running_.empty() && waiting_.empty(); }

  // Lets waiting documents join, then computes one step. Returns the documents that it was a step of; valid until the
  // next call. What goes wrong ends the documents that it concerns: see error(). There are none where memory for the
  // first was waited for in vain, for kMemoryPatience: it is to be called again.
  //
  // Where a GPU has no memory for all that the limits allow, fewer run at once: those that were running wait
  // again, and are decoded anew, with the same results. Throws OutOfMemory where it has none for a document alone, and
  // DeviceError: then nothing of the step is done, and documents that had joined are fit for nothing but forget().
  std::span<const int64_t> step();

  // The search of a document that has joined; null before, and after forget(). It stays when the document has finished,
  // and, until it joins again, when it has to wait again.
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
  uint64_t max_bytes() const { return limits_.max_bytes > 0 ? limits_.max_bytes : UINT64_MAX; }
  uint64_t need(const Load& load) const;
  enum class Room { kHad, kFewer, kLater };
  Room claim(std::span<const int64_t> joining);
  void claim_what_runs();
  void check_alone(int64_t ids, const GenerationPlan& plan, uint64_t bytes, const std::string& device) const;
  bool fits(const Load& load) const;
  std::vector<int64_t> next_to_join(int64_t most) const;
  void admit();
  void encode(std::span<const int64_t> joining);
  bool decode();
  void preempt();
  void make_do_with(int64_t documents);
  void fail(int64_t document);
  void retire();

  const std::unique_ptr<BartEngine> engine_;
  const BatchLimits limits_;
  MemoryClaim claim_;  // Outlives the documents, which are below.
  GpuRoom room_;
  std::map<int64_t, Document> documents_;
  int64_t added_ = 0;
  std::deque<int64_t> waiting_;
  std::vector<int64_t> running_;
  int64_t most_documents_ = INT64_MAX;  // That a GPU has memory for, as far as it was found out.
  int64_t finished_since_ = 0;          // Documents since that changed.
  // Of the step in hand.
  std::vector<int64_t> stepped_;
  std::vector<BartEngine::DocumentStep> steps_;
};

}  // namespace remuda::models
