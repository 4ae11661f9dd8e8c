#include "cli/summarize_run.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <typeinfo>
#include <utility>

#include "remuda/error.h"

namespace remuda::cli {
namespace {

// What a document's own content or logits are the reason of; options were checked before.
bool is_of_document(const Error& error) {
  return typeid(error) == typeid(Error) && error.code() == ErrorCode::kInvalidArgument;
}

// The manager counts the documents of a call, of which there is one.
std::string without_number(std::string_view message) {
  constexpr std::string_view kFirst = "document 0";
  if (!message.starts_with(kFirst)) return std::string(message);
  message.remove_prefix(kFirst.size());
  message.remove_prefix(std::min(message.find_first_not_of(": "), message.size()));
  return std::string(message);
}

bool has_finite_scores(const Summary& summary) {
  return std::isfinite(summary.best.score) &&
         std::ranges::all_of(summary.others, [](const GeneratedText& other) { return std::isfinite(other.score); });
}

}  // namespace

SummarizeRun::SummarizeRun(SummarizationModelManager& manager, const SummarizePlan& plan, TextReader& reader,
                           int64_t chunks_at_once)
    : manager_(manager),
      plan_(plan),
      partial_(plan.options.partial),
      writer_(plan.fields),
      run_(reader, chunks_at_once, "documents",
           {.compute = [this](const TextChunk& chunk) { return compute(chunk.texts); },
            .write = [this](const Outcomes& outcomes) { write(outcomes); }}) {
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

// A document's own error is no other's: each is tried alone where one of them failed.
SummarizeRun::Outcomes SummarizeRun::compute(const std::vector<std::string>& texts) {
  try {
    return compute_together(texts);
  } catch (const Error& error) {
    if (!is_of_document(error)) throw;
    if (texts.size() == 1) return {{.found = {}, .problem = without_number(error.what())}};
  }
  Outcomes outcomes;
  for (const std::string& text : texts) {
    if (run_.given_up()) break;
    outcomes.push_back(compute({text}).front());
  }
  return outcomes;
}

SummarizeRun::Outcomes SummarizeRun::compute_together(const std::vector<std::string>& texts) {
  Outcomes outcomes;
  if (plan_.long_documents) {
    for (const std::string& text : texts) {
      outcomes.push_back({manager_.summarize_long(text, plan_.options, *plan_.long_documents), {}});
    }
    return outcomes;
  }
  for (Summary& summary : manager_.summarize(texts, plan_.options)) {
    outcomes.emplace_back().found.summary = std::move(summary);
  }
  return outcomes;
}

// What an interrupted beam search had beyond the settled text, and the end of the line.
void SummarizeRun::finish_stream(const GeneratedText& text) {
  const std::string_view whole = text.text;
  if (whole.starts_with(streamed_)) text_out_.buffer() += whole.substr(streamed_.size());
  text_out_.buffer() += '\n';
  text_out_.flush();
  streamed_.clear();
}

void SummarizeRun::write(const Outcomes& outcomes) {
  for (const auto& [found, problem] : outcomes) {
    const int64_t index = next_index_++;
    if (!problem.empty()) {
      report(index, problem);
    } else if (plan_.fields.others && !plan_.stream && !has_finite_scores(found.summary)) {
      report(index, "a score is infinite or not a number, which JSON has no way to write; change length_penalty");
    } else if (!write_summary(index, found)) {
      break;
    }
  }
  writer_.flush();
}

void SummarizeRun::report(int64_t index, const std::string& problem) {
  if (plan_.stream) finish_stream({});
  say(fmt::format("remuda: error: document {}: {}\n", index, problem));
  ++totals_.failed;
}

// False where it was not finished, which ends the run.
bool SummarizeRun::write_summary(int64_t index, const LongSummary& found) {
  const Summary& summary = found.summary;
  if (plan_.stream) finish_stream(summary.best);
  if (!summary.best.complete && interrupted()) return true;
  if (!summary.best.complete && !partial_) {
    run_.end(std::make_exception_ptr(TimeoutError(
        fmt::format("document {}: --timeout passed before its summary was finished; give more time, or keep what "
                    "there is with --partial",
                    index))));
    return false;
  }
  if (!plan_.stream) writer_.write(index, found);
  ++totals_.documents;
  totals_.input_tokens += summary.input_tokens;
  totals_.used_tokens += summary.used_tokens;
  totals_.output_tokens += summary.output_tokens();
  totals_.truncated += summary.truncated() ? 1 : 0;
  totals_.incomplete += summary.best.complete ? 0 : 1;
  totals_.invalid_utf8 += summary.invalid_sequences;
  return true;
}

}  // namespace remuda::cli
