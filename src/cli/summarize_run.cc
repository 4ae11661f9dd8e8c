#include "cli/summarize_run.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "remuda/error.h"

namespace remuda::cli {

SummarizeRun::SummarizeRun(SummarizationModelManager& manager, const SummarizePlan& plan, TextReader& reader,
                           int64_t chunks_at_once)
    : manager_(manager),
      plan_(plan),
      partial_(plan.options.partial),
      writer_(plan.fields),
      run_(reader, chunks_at_once, "documents",
           {.compute = [this](const TextChunk& chunk) { return compute(chunk); },
            .write = [this](const Summaries& summaries) { write(summaries); }}) {
  plan_.options.cancelled = [this] { return run_.given_up(); };
  // So that an interruption keeps what is complete of a chunk; write() leaves out the rest.
  plan_.options.partial = true;
  if (!plan_.stream) return;
  plan_.options.on_text = [this](int64_t, std::string_view text) {
    streamed_ += text;
    text_out_.buffer() += text;
    text_out_.flush();
  };
}

SummarizeRun::Summaries SummarizeRun::compute(const TextChunk& chunk) {
  const std::vector<std::string>& texts = chunk.texts;
  Summaries results;
  if (plan_.long_documents) {
    for (const std::string& text : texts) {
      results.push_back(manager_.summarize_long(text, plan_.options, *plan_.long_documents));
    }
    return results;
  }
  for (Summary& summary : manager_.summarize(texts, plan_.options)) {
    results.emplace_back().summary = std::move(summary);
  }
  return results;
}

// What an interrupted beam search had beyond the settled text, and the end of the line.
void SummarizeRun::finish_stream(const GeneratedText& text) {
  const std::string_view whole = text.text;
  if (whole.starts_with(streamed_)) text_out_.buffer() += whole.substr(streamed_.size());
  text_out_.buffer() += '\n';
  text_out_.flush();
  streamed_.clear();
}

// Whether the scores that are written are numbers; JSON has no others, and no summary that they are of is right.
bool SummarizeRun::has_numbers(int64_t index, const Summary& summary) {
  const auto is_number = [](const GeneratedText& text) { return std::isfinite(text.score); };
  const bool written = plan_.fields.others && !plan_.stream;
  if (!written || (is_number(summary.best) && std::ranges::all_of(summary.others, is_number))) return true;
  if (no_number_ == nullptr) {
    no_number_ = std::make_exception_ptr(
        Error(ErrorCode::kInvalidFile,
              fmt::format("document {}: expected scores that are finite numbers, found NaN or infinity: the model's "
                          "weights hold such numbers, or the options allow no token; the other documents are done",
                          index)));
  }
  return false;
}

void SummarizeRun::write(const Summaries& summaries) {
  for (const LongSummary& found : summaries) {
    const Summary& summary = found.summary;
    const int64_t index = next_index_++;
    if (plan_.stream) finish_stream(summary.best);
    if (!summary.best.complete && interrupted()) continue;
    if (!summary.best.complete && !partial_) {
      run_.end(std::make_exception_ptr(TimeoutError(
          fmt::format("document {}: --timeout passed before its summary was finished; give more time, or keep what "
                      "there is with --partial",
                      index))));
      break;
    }
    if (!has_numbers(index, summary)) continue;
    if (!plan_.stream) writer_.write(index, found);
    ++totals_.documents;
    totals_.input_tokens += summary.input_tokens;
    totals_.used_tokens += summary.used_tokens;
    totals_.output_tokens += summary.output_tokens();
    totals_.truncated += summary.truncated() ? 1 : 0;
    totals_.incomplete += summary.best.complete ? 0 : 1;
    totals_.invalid_utf8 += summary.invalid_sequences;
  }
  writer_.flush();
}

}  // namespace remuda::cli
