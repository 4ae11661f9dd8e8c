#include "manager/embedding_model.h"

#include <atomic>
#include <future>
#include <utility>

#include "base/fail.h"
#include "manager/placement.h"
#include "models/gpu_sentence_encoder.h"
#include "models/sentence_encoder.h"

namespace remuda {
namespace {

// Tokenizing this many texts is worth waking another thread.
constexpr int64_t kTextsPerTask = 32;

// That the encoder has a row for each of the tokenizer's ids, and that texts have room beside the special tokens.
void check_fit(const EmbeddingModel& model, const io::ModelDirectory& directory) {
  if (model.tokenizer->vocab_size() > model.encoder->vocab_size()) {
    fail(ErrorCode::kInvalidFile,
         "{}: vocab_size: expected at least {} for the ids of the tokenizer beside it, found {}",
         (directory.transformer / "config.json").string(), model.tokenizer->vocab_size(), model.encoder->vocab_size());
  }
  const int64_t special = model.tokenizer->encode("").total_tokens;
  if (directory.pipeline.max_seq_length < special) {
    fail(ErrorCode::kInvalidFile,
         "{}: max_seq_length: expected at least {}, the special tokens of every text, found {}",
         directory.transformer.string(), special, directory.pipeline.max_seq_length);
  }
}

std::unique_ptr<const models::TextEncoder> load_encoder(const io::ModelDirectory& directory, const std::string& device,
                                                        Precision precision, ComputePool& pool,
                                                        const WeightCache& cache) {
  if (kind_of(device) == DeviceKind::kGpu) {
    return std::make_unique<models::GpuSentenceEncoder>(directory, device, precision);
  }
  return std::make_unique<models::SentenceEncoder>(cache.load(pool, [&](std::shared_ptr<io::PackedFile> packed) {
    return models::SentenceEncoder(directory, precision, pool, std::move(packed));
  }));
}

}  // namespace

std::shared_ptr<const text::Tokenizer> load_tokenizer(const io::ModelDirectory& directory) {
  return std::make_shared<const text::Tokenizer>(
      text::Tokenizer::load(directory.transformer, {.lower_case = directory.pipeline.do_lower_case}));
}

EmbeddingModel::EmbeddingModel(const io::ModelDirectory& directory, const std::string& device, Precision precision,
                               ComputePool& pool, const WeightCache& cache)
    : EmbeddingModel(directory, device, precision, pool, cache,
                     std::async(std::launch::async, [&directory] { return load_tokenizer(directory); })) {}

EmbeddingModel::EmbeddingModel(const io::ModelDirectory& directory, const std::string& device, Precision precision,
                               ComputePool& pool, const WeightCache& cache,
                               std::future<std::shared_ptr<const text::Tokenizer>> loading)
    : on_cpu(kind_of(device) == DeviceKind::kCpu), encoder(load_encoder(directory, device, precision, pool, cache)) {
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

}  // namespace remuda
