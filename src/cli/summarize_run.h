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
  using Summaries = std::vector<LongSummary>;

  Summaries compute(const TextChunk& chunk);
  void write(const Summaries& summaries);
  bool has_numbers(int64_t index, const Summary& summary);
  void finish_stream(const GeneratedText& text);

  SummarizationModelManager& manager_;
  SummarizePlan plan_;
  bool partial_;  // Whether summaries that ran out of time are wanted.
  int64_t next_index_ = 0;
  SummaryWriter writer_;
  Output text_out_{STDOUT_FILENO, "stdout"};
  std::string streamed_;  // Of the document in hand.
  SummarizeTotals totals_;
  std::exception_ptr no_number_;  // The first document whose score is NaN or infinite.
  OrderedRun<Summaries> run_;
};

}  // namespace remuda::cli
