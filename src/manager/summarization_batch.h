// Documents of many calls decoded together.
#pragma once

#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "manager/batcher.h"
#include "manager/summarization_model.h"
#include "models/bart_batch.h"
#include "remuda/summarization_model_manager.h"

namespace remuda {

// The documents of a call, in their order; those without tokens have their summaries, empty ones, from the beginning.
class SummarizationRequest : public BatchRequest {
 public:
  // What the documents were tokenized with, the request keeps: it may be all that holds the model until there is an
  // instance, see SharedModel::tokenizer().
  SummarizationRequest(std::shared_ptr<const text::Tokenizer> tokenizer, std::vector<TokenizedDocument> documents,
                       std::shared_ptr<const GenerationPlan> plan, SummarizeOptions options, Deadline deadline);

  bool has_waiting() const override { return next_ < waiting_.size(); }
  bool has_news() const override { return !news_.empty(); }
  void collect_news() override;
  // Calls on_text.
  void deliver_news() override;

  // The document that is next to be decoded, and its number.
  const models::BatchDocument& next() const { return waiting_[next_].second; }
  int64_t next_number() const { return waiting_[next_].first; }
  void take_next() { waiting_[next_++].second.ids.clear(); }

  bool wants_text() const { return options_.on_text != nullptr; }
  void add_text(int64_t document, std::string text) { news_.push_back({document, std::move(text)}); }
  void set_results(int64_t document, std::vector<GeneratedText> results);

  // Once, when it is done.
  std::vector<Summary> take_summaries() { return std::move(summaries_); }

 private:
  struct News {
    int64_t document;
    std::string text;
  };

  const std::shared_ptr<const text::Tokenizer> tokenizer_;
  const SummarizeOptions options_;
  std::vector<std::pair<int64_t, models::BatchDocument>> waiting_;
  size_t next_ = 0;  // In waiting_.
  std::vector<Summary> summaries_;
  std::vector<News> news_;
  std::vector<News> collected_;  // The caller's alone.
};

// A BartBatch whose documents are of many calls. Functions are as BatchSession's.
class SummarizationBatch {
 public:
  SummarizationBatch(const SummarizationModel& model, const models::BatchLimits& limits);

  void take(RequestQueue& queue, BatchSession::Requests& changed);
  void step() noexcept;
  void settle(BatchSession::Requests& changed);
  void drop_ended(BatchSession::Requests& changed);
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

  void look_at(int64_t number);
  std::vector<GeneratedText> results_of(const Search& search) const;

  const SummarizationModel& model_;
  models::BartBatch batch_;
  std::map<int64_t, Member> members_;  // By the batch's numbers.
  std::vector<int64_t> stepped_;
};

// How a call is to be run; see SummarizeOptions.
struct SummarizationRun {
  std::shared_ptr<const GenerationPlan> plan;
  const SummarizeOptions& options;
  Deadline deadline;
  models::BatchLimits limits;
};

// The documents' summaries, decoded together, with nobody's beside them. Throws as
// SummarizationModelManager::summarize.
std::vector<Summary> summarize_documents(const SummarizationModel& model, std::vector<TokenizedDocument> documents,
                                         const SummarizationRun& run);

}  // namespace remuda
