// Summarises a stream of documents; see OrderedRun.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <vector>

#include "cli/ordered_run.h"
#include "cli/output.h"
#include "cli/summary_writer.h"
#include "remuda/summarization_model_manager.h"

namespace remuda::cli {

struct SummarizePlan {
  SummarizeOptions options;
  std::optional<LongOptions> long_documents;  // Summarised part by part; none: cut at the window.
  bool stream = false;                        // Text in place of JSON, as it is settled, one document after the other.
  SummaryFields fields = {};
};

struct SummarizeTotals {
  int64_t documents = 0;  // Whose summaries are written.
  int64_t input_tokens = 0;
  int64_t used_tokens = 0;
  int64_t output_tokens = 0;
  int64_t truncated = 0;
  int64_t incomplete = 0;
  int64_t failed = 0;  // Which have no summaries.
  int64_t invalid_utf8 = 0;
};

class SummarizeRun {
 public:
  // Each of the reader's chunks is decoded together; at most `chunks_at_once` of them at the same time, each on an
  // instance of its own. For streams and long documents a chunk must be one document, for streams one at once.
  SummarizeRun(SummarizationModelManager& manager, const SummarizePlan& plan, TextReader& reader,
               int64_t chunks_at_once);

  // As OrderedRun::run(). After an interruption the documents are written that were complete, those behind one that
  // was not, too: their "index" tells.
  void run() { run_.run(); }
  std::exception_ptr failure() const { return run_.failure() ? run_.failure() : no_number_; }
  const SummarizeTotals& totals() const { return totals_; }

 private:
  // Of a document: its summary, or why there is none.
  struct Outcome {
    LongSummary found;
    std::string problem;
  };
  using Outcomes = std::vector<Outcome>;

  Outcomes compute(const std::vector<std::string>& texts);
  Outcomes compute_together(const std::vector<std::string>& texts);
  void write(const Outcomes& outcomes);
  bool write_summary(int64_t index, const LongSummary& found);
  void report(int64_t index, const std::string& problem);
  void finish_stream(const GeneratedText& text);

  SummarizationModelManager& manager_;
  SummarizePlan plan_;
  bool partial_;  // Whether summaries that ran out of time are wanted.
  int64_t next_index_ = 0;
  SummaryWriter writer_;
  Output text_out_{STDOUT_FILENO, "stdout"};
  std::string streamed_;  // Of the document in hand.
  SummarizeTotals totals_;
  OrderedRun<Outcomes> run_;
};

}  // namespace remuda::cli
