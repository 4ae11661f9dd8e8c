#include "cli/embed_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/checksum.h"
#include "cli/format.h"
#include "remuda/error.h"

namespace remuda::cli {
namespace {

// Errors that may come of one text, so that it is worth trying the others without it.
bool may_be_of_a_text(ErrorCode code) {
  return code == ErrorCode::kInvalidArgument || code == ErrorCode::kInvalidFile || code == ErrorCode::kUnsupported;
}

// What an error of a call with one text says behind that text's number.
std::string reason_of(const Error& error) {
  constexpr std::string_view kOnly = "text 0";
  const std::string_view message = error.what();
  return message.starts_with(kOnly) ? std::string(message.substr(kOnly.size())) : fmt::format(": {}", message);
}

void append(Embeddings& all, const Embeddings& more) {
  all.dimension = more.dimension;
  all.values.insert(all.values.end(), more.values.begin(), more.values.end());
  all.tokens.insert(all.tokens.end(), more.tokens.begin(), more.tokens.end());
  all.used_tokens.insert(all.used_tokens.end(), more.used_tokens.begin(), more.used_tokens.end());
  all.invalid_sequences += more.invalid_sequences;
}

}  // namespace

EmbedRun::EmbedRun(EmbeddingModelManager& manager, const EmbedPlan& plan, TextReader& reader, EmbeddingWriter& writer)
    : manager_(manager),
      options_(plan.options),
      skip_failed_(plan.skip_failed),
      writer_(writer),
      next_index_(writer.texts_done()),
      run_(reader, plan.chunks_at_once, "texts",
           {.compute = [this](const TextChunk& texts) { return compute(texts); },
            .write = [this](const EmbedChunk& chunk) { write(chunk); }}) {
  options_.cancelled = [this] { return run_.given_up(); };
  totals_.failed = writer.failed_done();
}

EmbedChunk EmbedRun::compute(const TextChunk& texts) const {
  EmbedChunk chunk;
  embed(texts.texts, 0, chunk);
  chunk.failed.insert(chunk.failed.end(), texts.failed.begin(), texts.failed.end());
  std::ranges::sort(chunk.failed, {}, [](const FailedText& text) { return std::tie(text.position, text.reason); });
  const auto repeated = std::ranges::unique(chunk.failed, {}, &FailedText::position);
  chunk.failed.erase(repeated.begin(), repeated.end());
  const int64_t dimension = chunk.embeddings.dimension;
  for (const FailedText& failed : chunk.failed) {
    std::fill_n(chunk.embeddings.values.begin() + failed.position * dimension, dimension,
                std::numeric_limits<float>::quiet_NaN());
  }
  for (const std::string& text : texts.texts) chunk.text_sums.push_back(checksum(std::as_bytes(std::span(text))));
  return chunk;
}

// Appends the embeddings of texts whose first is number `first` of the chunk. Where they can't be had together, those
// whose fault it is are found by halves.
void EmbedRun::embed(std::span<const std::string> texts, int64_t first, EmbedChunk& chunk) const {
  try {
    append(chunk.embeddings, manager_.embed_texts(texts, options_));
    return;
  } catch (const Error& error) {
    if (!may_be_of_a_text(error.code())) throw;
    if (texts.size() == 1) {
      Embeddings none;
      none.dimension = manager_.dimension();
      none.values.resize(static_cast<size_t>(none.dimension));
      none.tokens = none.used_tokens = {0};
      append(chunk.embeddings, none);
      chunk.failed.push_back({first, reason_of(error)});
      return;
    }
  }
  const size_t half = texts.size() / 2;
  embed(texts.first(half), first, chunk);
  embed(texts.subspan(half), first + static_cast<int64_t>(half), chunk);
}

void EmbedRun::write(const EmbedChunk& chunk) {
  const Embeddings& embeddings = chunk.embeddings;
  writer_.write(chunk);
  note_failed(chunk);
  next_index_ += embeddings.size();
  totals_.texts += embeddings.size() - std::ssize(chunk.failed);
  totals_.invalid_utf8 += embeddings.invalid_sequences;
  for (int64_t i = 0; i < embeddings.size(); ++i) {
    totals_.tokens += embeddings.used_tokens[i];
    totals_.truncated += embeddings.truncated(i) ? 1 : 0;
  }
  // Where none of many texts can be computed, it is the model that can't.
  const bool all_failed = embeddings.size() > 1 && std::ssize(chunk.failed) == embeddings.size();
  if (all_failed && !skip_failed_) run_.end(failure());
}

void EmbedRun::note_failed(const EmbedChunk& chunk) {
  constexpr int64_t kMostShown = 10;
  for (const FailedText& failed : chunk.failed) {
    const std::string message = fmt::format("text {}{}", next_index_ + failed.position, failed.reason);
    if (first_failed_.empty()) first_failed_ = message;
    if (++totals_.failed <= kMostShown && skip_failed_) warn(message);
  }
}

std::exception_ptr EmbedRun::failure() const {
  if (run_.failure() || totals_.failed == 0 || skip_failed_) return run_.failure();
  std::string message = first_failed_;
  if (message.empty()) message = "texts of the run that this one continues";
  if (totals_.failed > 1) message += fmt::format(" (and {} more texts)", with_commas(totals_.failed - 1));
  return std::make_exception_ptr(Error(ErrorCode::kInvalidFile, message + "; the others are done"));
}

}  // namespace remuda::cli
