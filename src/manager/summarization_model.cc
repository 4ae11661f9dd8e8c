#include "manager/summarization_model.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/fail.h"
#include "manager/placement.h"
#include "models/cpu_bart.h"
#include "models/gpu_bart_engine.h"

namespace remuda {
namespace {

bool is_blank(const std::string& text) { return text.find_first_not_of(" \t\n\v\f\r") == std::string::npos; }

// The first token that the model has no row for.
std::optional<int32_t> missing_row(std::span<const int32_t> ids, int64_t vocab_size) {
  const auto found = std::ranges::find_if(ids, [vocab_size](int32_t id) { return id < 0 || id >= vocab_size; });
  return found == ids.end() ? std::nullopt : std::optional(*found);
}

std::unique_ptr<const models::BartModel> load_bart(const models::BartDirectory& directory, const std::string& device,
                                                   Precision precision, ComputePool& pool, const WeightCache& cache) {
  if (kind_of(device) == DeviceKind::kGpu) {
    try {
      return std::make_unique<models::GpuBartModel>(directory.config, io::Checkpoint::open(directory.path), device,
                                                    precision, pool);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kUnsupported) throw;
      fail(error.code(), "{}: {}", directory.path.string(), error.what());
    }
  }
  return cache.load(pool, [&](std::shared_ptr<io::PackedFile> packed) {
    auto checkpoint = std::make_shared<const io::Checkpoint>(io::Checkpoint::open(directory.path));
    models::Bart bart(directory.config, std::move(checkpoint), precision, pool, std::move(packed));
    return std::make_unique<models::CpuBart>(std::move(bart), WorkspaceArena::global(), pool);
  });
}

}  // namespace

SummarizationModel::SummarizationModel(const models::BartDirectory& directory, const std::string& device,
                                       Precision precision, ComputePool& pool, const WeightCache& cache)
    : SummarizationModel(directory, device, precision, pool, cache,
                         std::async(std::launch::async, [&directory] { return load_tokenizer(directory); })) {}

SummarizationModel::SummarizationModel(const models::BartDirectory& directory, const std::string& device,
                                       Precision precision, ComputePool& pool, const WeightCache& cache,
                                       std::future<std::shared_ptr<const text::Tokenizer>> loading)
    : on_cpu(kind_of(device) == DeviceKind::kCpu), bart(load_bart(directory, device, precision, pool, cache)) {
  tokenizer = loading.get();
  check_fit(*tokenizer, directory);
}

std::shared_ptr<const text::Tokenizer> load_tokenizer(const models::BartDirectory& directory) {
  return std::make_shared<const text::Tokenizer>(text::Tokenizer::load(directory.path));
}

void check_fit(const text::Tokenizer& tokenizer, const models::BartDirectory& directory) {
  const text::Encoding nothing = tokenizer.encode("");
  if (directory.window <= nothing.total_tokens) {
    fail(ErrorCode::kInvalidFile,
         "{}: the longest document (max_position_embeddings, model_max_length): expected more than the {} special "
         "tokens of every document, found {}",
         directory.path.string(), nothing.total_tokens, directory.window);
  }
  if (const auto id = missing_row(nothing.ids, directory.config.vocab_size)) {
    fail(ErrorCode::kInvalidFile,
         "{}: vocab_size: expected more than {}, the id of a token that the tokenizer beside it puts into every "
         "document, found {}",
         (directory.path / "config.json").string(), *id, directory.config.vocab_size);
  }
}

bool is_cancelled(const SummarizeOptions& options) {
  return options.stop.stop_requested() || (options.cancelled && options.cancelled());
}

void throw_if_over(const SummarizeOptions& options, const Deadline& deadline) {
  if (is_cancelled(options)) fail(ErrorCode::kCancelled, "the summarization was cancelled");
  if (!deadline.expired()) return;
  throw TimeoutError(
      "the deadline passed before the summaries were finished; give more time, or ask for partial "
      "results");
}

std::vector<TokenizedDocument> tokenize_documents(const text::Tokenizer& tokenizer, std::span<const std::string> texts,
                                                  const ReadingOptions& options, ComputePool& pool) {
  std::vector<TokenizedDocument> documents(texts.size());
  const int64_t special = tokenizer.encode("").total_tokens;
  pool.parallel_for(static_cast<int64_t>(texts.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (is_blank(texts[i])) continue;
      text::Encoding encoding;
      const text::EncodeOptions cut = {.max_length = options.max_tokens};
      if (options.prefix.empty()) {
        tokenizer.encode(texts[i], cut, encoding);
      } else {
        tokenizer.encode(options.prefix + texts[i], cut, encoding);
      }
      if (encoding.total_tokens <= special) continue;  // White space that only the tokenizer knows.
      documents[i] = {.ids = std::move(encoding.ids),
                      .total_tokens = encoding.total_tokens,
                      .invalid_sequences = encoding.invalid_sequences};
    }
  });
  for (size_t i = 0; i < documents.size(); ++i) {
    const auto id = missing_row(documents[i].ids, options.vocab_size);
    if (!id) continue;
    fail(ErrorCode::kInvalidArgument,
         "{} {}: expected tokens that the model has rows for, of which there are {}, found {} (id {}); take it out of "
         "the text",
         options.what, i, options.vocab_size, tokenizer.id_to_token(*id).value_or("one without a name"), *id);
  }
  return documents;
}

}  // namespace remuda
