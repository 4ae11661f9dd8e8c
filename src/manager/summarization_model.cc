#include "manager/summarization_model.h"

#include <map>
#include <optional>
#include <utility>

#include "base/fail.h"
#include "models/bart_batch.h"

namespace remuda {
namespace {

constexpr text::DecodeOptions kSummaryText = {.skip_special_tokens = true, .clean_up_tokenization_spaces = {}};

bool is_blank(const std::string& text) { return text.find_first_not_of(" \t\n\v\f\r") == std::string::npos; }

bool is_cancelled(const SummarizeOptions& options) { return options.cancelled && options.cancelled(); }

std::shared_ptr<const text::Tokenizer> load_tokenizer(const models::BartDirectory& directory) {
  return std::make_shared<const text::Tokenizer>(text::Tokenizer::load(directory.path));
}

// That the model has a row for each of the tokenizer's ids, and that documents have room beside the special tokens.
void check_fit(const SummarizationModel& model, const models::BartDirectory& directory) {
  if (model.tokenizer->vocab_size() > directory.config.vocab_size) {
    fail(ErrorCode::kInvalidFile,
         "{}: vocab_size: expected at least {} for the ids of the tokenizer beside it, found {}",
         (directory.path / "config.json").string(), model.tokenizer->vocab_size(), directory.config.vocab_size);
  }
  const int64_t special = model.tokenizer->encode("").total_tokens;
  if (directory.window <= special) {
    fail(ErrorCode::kInvalidFile,
         "{}: the longest document (max_position_embeddings, model_max_length): expected more than the {} special "
         "tokens of every document, found {}",
         directory.path.string(), special, directory.window);
  }
}

// One call: its documents, from the queue to their summaries.
class Summarization {
 public:
  Summarization(const SummarizationModel& model, const SummarizationRun& run, ComputePool& pool)
      : model_(model),
        run_(run),
        batch_(model.bart, {.max_tokens = run.options.max_batch_tokens, .max_bytes = run.max_bytes},
               WorkspaceArena::global(), pool) {}

  std::vector<Summary> summarize(std::vector<TokenizedDocument> documents) {
    summaries_.resize(documents.size());
    for (size_t i = 0; i < documents.size(); ++i) {
      TokenizedDocument& document = documents[i];
      Summary& summary = summaries_[i];
      summary.input_tokens = document.total_tokens;
      summary.used_tokens = static_cast<int64_t>(document.ids.size());
      summary.invalid_sequences = document.invalid_sequences;
      if (document.ids.empty()) continue;
      summary.best.complete = false;
      batch_.add(std::move(document.ids), run_.plan);
      document_of_.push_back(static_cast<int64_t>(i));
    }
    while (!batch_.finished()) {
      if (ends_early()) break;
      for (const int64_t number : batch_.step()) look_at(number);
    }
    return std::move(summaries_);
  }

 private:
  // A call that may not give parts of summaries throws here.
  bool ends_early() {
    if (!run_.options.partial) {
      throw_if_over(run_.options, run_.deadline);
      return false;
    }
    if (!is_cancelled(run_.options) && !run_.deadline.expired()) return false;
    for (size_t number = 0; number < document_of_.size(); ++number) {
      const Search* search = batch_.search(static_cast<int64_t>(number));
      if (search != nullptr) take_results(static_cast<int64_t>(number), *search);
    }
    return true;
  }

  Summary& summary_of(int64_t number) {
    return summaries_[static_cast<size_t>(document_of_[static_cast<size_t>(number)])];
  }

  // After a step of this document: what is settled goes to the caller, and its results are kept when it has finished.
  void look_at(int64_t number) {
    const Search& search = *batch_.search(number);
    if (run_.options.on_text) stream(number, search);
    if (!search.finished()) return;
    take_results(number, search);
    batch_.forget(number);
  }

  void stream(int64_t number, const Search& search) {
    auto [entry, added] = streams_.try_emplace(number, *model_.tokenizer, kSummaryText);
    Stream& stream = entry->second;
    const std::span<const int32_t> settled = search.settled();
    std::string text = stream.text.add(settled.subspan(static_cast<size_t>(stream.given)));
    stream.given = std::ssize(settled);
    if (search.finished()) {
      text += stream.text.finish();
      streams_.erase(entry);
    }
    if (!text.empty()) run_.options.on_text(document_of_[static_cast<size_t>(number)], text);
  }

  void take_results(int64_t number, const Search& search) {
    Summary& summary = summary_of(number);
    std::vector<Hypothesis> found = search.results();
    for (size_t i = 0; i < found.size(); ++i) {
      GeneratedText text{.text = model_.tokenizer->decode(found[i].ids, kSummaryText),
                         .ids = std::move(found[i].ids),
                         .score = found[i].score,
                         .complete = found[i].complete};
      if (i == 0) {
        summary.best = std::move(text);
      } else {
        summary.others.push_back(std::move(text));
      }
    }
  }

  struct Stream {
    Stream(const text::Tokenizer& tokenizer, const text::DecodeOptions& options) : text(tokenizer, options) {}
    text::TextStream text;
    int64_t given = 0;  // Settled ids that went into it.
  };

  const SummarizationModel& model_;
  const SummarizationRun& run_;
  models::BartBatch batch_;
  std::vector<Summary> summaries_;
  std::vector<int64_t> document_of_;  // By the batch's number; documents without tokens have none.
  std::map<int64_t, Stream> streams_;
};

}  // namespace

SummarizationModel::SummarizationModel(const models::BartDirectory& directory, Precision precision, ComputePool& pool,
                                       const WeightCache& cache)
    : SummarizationModel(directory, precision, pool, cache,
                         std::async(std::launch::async, [&directory] { return load_tokenizer(directory); })) {}

SummarizationModel::SummarizationModel(const models::BartDirectory& directory, Precision precision, ComputePool& pool,
                                       const WeightCache& cache,
                                       std::future<std::shared_ptr<const text::Tokenizer>> loading)
    : bart(cache.load(pool, [&](std::shared_ptr<io::PackedFile> packed) {
        auto checkpoint = std::make_shared<const io::Checkpoint>(io::Checkpoint::open(directory.path));
        return models::Bart(directory.config, std::move(checkpoint), precision, pool, std::move(packed));
      })) {
  tokenizer = loading.get();
  check_fit(*this, directory);
}

void throw_if_over(const SummarizeOptions& options, const Deadline& deadline) {
  if (is_cancelled(options)) fail(ErrorCode::kCancelled, "the summarization was cancelled");
  if (!deadline.expired()) return;
  throw TimeoutError(
      "the deadline passed before the summaries were finished; give more time, or ask for partial "
      "results");
}

std::vector<TokenizedDocument> tokenize_documents(const text::Tokenizer& tokenizer, std::span<const std::string> texts,
                                                  int64_t max_tokens, ComputePool& pool) {
  std::vector<TokenizedDocument> documents(texts.size());
  const int64_t special = tokenizer.encode("").total_tokens;
  pool.parallel_for(static_cast<int64_t>(texts.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (is_blank(texts[i])) continue;
      text::Encoding encoding = tokenizer.encode(texts[i], {.max_length = max_tokens});
      if (encoding.total_tokens <= special) continue;  // White space that only the tokenizer knows.
      documents[i] = {.ids = std::move(encoding.ids),
                      .total_tokens = encoding.total_tokens,
                      .invalid_sequences = encoding.invalid_sequences};
    }
  });
  return documents;
}

std::vector<Summary> summarize_documents(const SummarizationModel& model, std::vector<TokenizedDocument> documents,
                                         const SummarizationRun& run, ComputePool& pool) {
  return Summarization(model, run, pool).summarize(std::move(documents));
}

}  // namespace remuda
