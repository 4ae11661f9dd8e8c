#include "manager/summarization_model.h"

#include <utility>

#include "base/fail.h"
#include "manager/placement.h"
#include "models/cpu_bart.h"
#include "models/gpu_bart_engine.h"

namespace remuda {
namespace {

bool is_blank(const std::string& text) { return text.find_first_not_of(" \t\n\v\f\r") == std::string::npos; }

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
  check_fit(*this, directory);
}

std::shared_ptr<const text::Tokenizer> load_tokenizer(const models::BartDirectory& directory) {
  return std::make_shared<const text::Tokenizer>(text::Tokenizer::load(directory.path));
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

}  // namespace remuda
