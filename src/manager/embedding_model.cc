#include "manager/embedding_model.h"

#include <algorithm>
#include <atomic>
#include <future>
#include <numeric>
#include <utility>

#include "base/fail.h"

namespace remuda {
namespace {

// Tokenizing this many texts is worth waking another thread.
constexpr int64_t kTextsPerTask = 32;

// The numbers of the texts that have tokens, the longest text first, so that a batch holds texts of like
// length and the last batches, which may not occupy every thread, are short.
std::vector<int64_t> by_falling_length(const std::vector<std::vector<int32_t>>& ids) {
  std::vector<int64_t> order(ids.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  std::erase_if(order, [&ids](int64_t i) { return ids[i].empty(); });  // Their vectors stay 0.
  std::ranges::sort(order, {}, [&ids](int64_t i) { return std::pair(-static_cast<int64_t>(ids[i].size()), i); });
  return order;
}

// The leading texts of `order` that fit into max_tokens together, at least one.
std::span<const int64_t> next_batch(std::span<const int64_t> order, const std::vector<std::vector<int32_t>>& ids,
                                    int64_t max_tokens) {
  int64_t tokens = 0;
  size_t count = 0;
  while (count < order.size()) {
    tokens += static_cast<int64_t>(ids[order[count]].size());
    if (count > 0 && tokens > max_tokens) break;
    ++count;
  }
  return order.first(count);
}

// One batch laid end to end, its results copied to the texts' rows.
class BatchRunner {
 public:
  BatchRunner(const EmbeddingModel& model, const TokenizedTexts& texts, ComputePool& pool)
      : model_(model), texts_(texts), pool_(pool) {}

  void run(std::span<const int64_t> batch, float* out) {
    const int64_t dimension = model_.encoder.dimension();
    ids_.clear();
    offsets_.assign(1, 0);
    for (const int64_t i : batch) {
      ids_.insert(ids_.end(), texts_.ids[i].begin(), texts_.ids[i].end());
      offsets_.push_back(static_cast<int64_t>(ids_.size()));
    }
    vectors_.resize(batch.size() * static_cast<size_t>(dimension));
    model_.encoder.forward({ids_, offsets_}, texts_.prompt_tokens,
                           {vectors_.data(), static_cast<int64_t>(batch.size()), dimension}, pool_);
    for (size_t b = 0; b < batch.size(); ++b) {
      std::copy_n(vectors_.data() + b * static_cast<size_t>(dimension), dimension, out + batch[b] * dimension);
    }
  }

 private:
  const EmbeddingModel& model_;
  const TokenizedTexts& texts_;
  ComputePool& pool_;
  std::vector<int32_t> ids_;
  std::vector<int64_t> offsets_;
  std::vector<float> vectors_;
};

// That the encoder has a row for each of the tokenizer's ids, and that texts have room beside the special tokens.
void check_fit(const EmbeddingModel& model, const io::ModelDirectory& directory) {
  if (model.tokenizer->vocab_size() > model.encoder.vocab_size()) {
    fail(ErrorCode::kInvalidFile,
         "{}: vocab_size: expected at least {} for the ids of the tokenizer beside it, found {}",
         (directory.transformer / "config.json").string(), model.tokenizer->vocab_size(), model.encoder.vocab_size());
  }
  const int64_t special = model.tokenizer->encode("").total_tokens;
  if (directory.pipeline.max_seq_length < special) {
    fail(ErrorCode::kInvalidFile,
         "{}: max_seq_length: expected at least {}, the special tokens of every text, found {}",
         directory.transformer.string(), special, directory.pipeline.max_seq_length);
  }
}

std::shared_ptr<const text::Tokenizer> load_tokenizer(const io::ModelDirectory& directory) {
  return std::make_shared<const text::Tokenizer>(
      text::Tokenizer::load(directory.transformer, {.lower_case = directory.pipeline.do_lower_case}));
}

}  // namespace

EmbeddingModel::EmbeddingModel(const io::ModelDirectory& directory, Precision precision, ComputePool& pool,
                               const WeightCache& cache)
    : EmbeddingModel(directory, precision, pool, cache,
                     std::async(std::launch::async, [&directory] { return load_tokenizer(directory); })) {}

EmbeddingModel::EmbeddingModel(const io::ModelDirectory& directory, Precision precision, ComputePool& pool,
                               const WeightCache& cache, std::future<std::shared_ptr<const text::Tokenizer>> loading)
    : encoder(cache.load(pool, [&](std::shared_ptr<io::PackedFile> packed) {
        return models::SentenceEncoder(directory, precision, pool, std::move(packed));
      })) {
  tokenizer = loading.get();
  check_fit(*this, directory);
}

TokenizedTexts tokenize_texts(const text::Tokenizer& tokenizer, std::span<const std::string> texts,
                              const std::string& prompt, int64_t max_length, ComputePool& pool) {
  TokenizedTexts result;
  result.ids.resize(texts.size());
  result.total_tokens.resize(texts.size());
  if (!prompt.empty()) {
    // All but the closing special token: what stands before the text's own first token.
    // A prompt that is cut leaves the text's closing token alone.
    result.prompt_tokens = std::ssize(tokenizer.encode(prompt, {.max_length = max_length}).ids) - 1;
  }
  std::atomic<int64_t> invalid = 0;
  pool.parallel_for(static_cast<int64_t>(texts.size()), kTextsPerTask, [&](int64_t begin, int64_t end) {
    text::Encoding encoding;
    std::string prompted;
    for (int64_t i = begin; i < end; ++i) {
      const bool plain = prompt.empty();
      if (!plain) prompted.assign(prompt).append(texts[i]);
      tokenizer.encode(plain ? texts[i] : prompted, {.max_length = max_length}, encoding);
      result.ids[i].assign(encoding.ids.begin(), encoding.ids.end());
      result.total_tokens[i] = encoding.total_tokens;
      invalid += encoding.invalid_sequences;
    }
  });
  result.invalid_sequences = invalid;
  return result;
}

Embeddings embed_tokenized(const EmbeddingModel& model, TokenizedTexts texts, const EmbedOptions& options,
                           ComputePool& pool) {
  Embeddings result;
  result.dimension = model.encoder.dimension();
  result.values.resize(texts.ids.size() * static_cast<size_t>(result.dimension));
  result.invalid_sequences = texts.invalid_sequences;
  result.used_tokens.reserve(texts.ids.size());
  for (const auto& ids : texts.ids) result.used_tokens.push_back(static_cast<int64_t>(ids.size()));

  const std::vector<int64_t> order = by_falling_length(texts.ids);
  BatchRunner runner(model, texts, pool);
  for (std::span<const int64_t> rest = order; !rest.empty();) {
    if (options.cancelled && options.cancelled()) fail(ErrorCode::kCancelled, "the embedding was cancelled");
    const std::span<const int64_t> batch = next_batch(rest, texts.ids, options.max_batch_tokens);
    runner.run(batch, result.values.data());
    rest = rest.subspan(batch.size());
  }
  result.tokens = std::move(texts.total_tokens);
  return result;
}

}  // namespace remuda
