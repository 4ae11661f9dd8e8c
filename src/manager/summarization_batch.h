// Documents of many calls decoded together.
#pragma once

#include <cstdint>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "manager/batcher.h"
#include "manager/summarization_model.h"
#include "models/bart_batch.h"
#include "remuda/summarization_model_manager.h"

namespace remuda {

// The documents of a call, in their order; those without tokens have their summaries, empty ones, from the beginning.
//
// A document that a GPU could not finish is decoded again, elsewhere or later. What the caller was told of its text
// stays told: as far as the new summary begins with that, it isn't told again. Where the new one is another, which it
// may be in another precision, the call ends with the GPU's error.
class SummarizationRequest : public BatchRequest {
 public:
  // What the documents were tokenized with, the request keeps: it may be all that holds the model until there is an
  // instance, see SharedModel::tokenizer().
  SummarizationRequest(std::shared_ptr<const text::Tokenizer> tokenizer, std::vector<TokenizedDocument> documents,
                       std::shared_ptr<const GenerationPlan> plan, SummarizeOptions options, Deadline deadline);

  bool has_waiting() const override { return !waiting_.empty(); }
  bool has_news() const override { return !news_.empty(); }
  void collect_news() override;
  // Calls on_text.
  void deliver_news() override;

  // The document that is next to be decoded, and its number.
  const models::BatchDocument& next() const { return documents_[static_cast<size_t>(next_number())]; }
  int64_t next_number() const { return waiting_.front(); }
  void take_next() { waiting_.pop_front(); }
  // One that was taken and could not be finished, for this reason: it waits again.
  void give_back(int64_t document, std::exception_ptr why);

  bool wants_text() const { return options_.on_text != nullptr; }
  // The next piece of its text.
  void add_text(int64_t document, std::string text);
  void set_results(int64_t document, std::vector<GeneratedText> results);

  // Once, when it is done.
  std::vector<Summary> take_summaries() { return std::move(summaries_); }

 private:
  struct News {
    int64_t document;
    std::string text;
  };

  // What the caller was told of a document's text.
  struct Told {
    std::string text;
    size_t confirmed = 0;                   // So much of it the decoding that is under way has come to as well.
    std::exception_ptr given_up = nullptr;  // Why the one before ended.
  };

  const std::shared_ptr<const text::Tokenizer> tokenizer_;
  const SummarizeOptions options_;
  std::vector<models::BatchDocument> documents_;
  std::deque<int64_t> waiting_;  // Numbers, in order.
  std::vector<Summary> summaries_;
  std::map<int64_t, Told> told_;
  std::vector<News> news_;
  std::vector<News> collected_;  // The caller's alone.
};

// Where a batch computes.
struct BatchPlace {
  std::string device;
  int64_t sharers = 1;  // Batches there at the same time, at most, that want as much of its memory.
};

// A BartBatch whose documents are of many calls. Functions are as BatchSession's.
class SummarizationBatch {
 public:
  SummarizationBatch(const SummarizationModel& model, BatchPlace place);

  void take(RequestQueue& queue, BatchSession::Requests& changed);
  void step() noexcept;
  void settle(BatchSession::Requests& changed);
  void drop_ended(BatchSession::Requests& changed);
  const std::exception_ptr& place_error() const { return place_error_; }
  BatchSession::Requests take_back();
  bool is_idle() const { return members_.empty(); }
  template <typename Predicate>
  bool has_request(Predicate&& predicate) const {
    for (const auto& [number, member] : members_) {
      if (predicate(*member.request)) return true;
    }
    return false;
  }

 private:
  struct Stream {
    explicit Stream(const text::Tokenizer& tokenizer);
    text::TextStream text;
    int64_t given = 0;  // Settled ids that went into it.
  };

  struct Member {
    std::shared_ptr<SummarizationRequest> request;
    int64_t document;  // Of the request.
    std::optional<Stream> stream;
    // Of the last step.
    std::string text;
    std::optional<std::vector<GeneratedText>> results;
    std::exception_ptr error;
  };

  void look_at_room();
  void look_at(int64_t number);
  std::vector<GeneratedText> results_of(const Search& search) const;

  const SummarizationModel& model_;
  const BatchPlace place_;
  models::BartBatch batch_;
  std::map<int64_t, Member> members_;  // By the batch's numbers.
  std::vector<int64_t> stepped_;
  std::exception_ptr place_error_;
  bool room_is_old_ = false;
};

// How a call is to be run; see SummarizeOptions.
struct SummarizationRun {
  std::shared_ptr<const GenerationPlan> plan;
  const SummarizeOptions& options;
  Deadline deadline;
  BatchPlace place;
};

// The documents' summaries, decoded together, with nobody's beside them. Throws as
// SummarizationModelManager::summarize.
std::vector<Summary> summarize_documents(const SummarizationModel& model, std::vector<TokenizedDocument> documents,
                                         const SummarizationRun& run);

}  // namespace remuda
