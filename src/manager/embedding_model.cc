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

// That texts have room beside the special tokens.
void check_fit(const EmbeddingModel& model, const io::ModelDirectory& directory) {
  const int64_t special = model.tokenizer->encode("").total_tokens;
  if (directory.pipeline.max_seq_length < special) {
    fail(ErrorCode::kInvalidFile,
         "{}: max_seq_length: expected at least {}, the special tokens of every text, found {}",
         directory.transformer.string(), special, directory.pipeline.max_seq_length);
  }
}

// Everything but the closing special token, where there is one: what stands before the text's own first token. A
// prompt that is cut leaves the text's closing token alone.
int64_t count_prompt_tokens(const text::Tokenizer& tokenizer, const std::string& prompt,
                            const text::EncodeOptions& options) {
  const std::vector<int32_t> ids = tokenizer.encode(prompt, options).ids;
  const std::vector<int32_t> special = tokenizer.encode("", options).ids;
  const bool is_closed = !ids.empty() && !special.empty() && ids.back() == special.back();
  return std::ssize(ids) - (is_closed ? 1 : 0);
}

// The start of a text, whole characters, for an error.
std::string_view beginning_of(std::string_view text) {
  constexpr size_t kMost = 60;
  if (text.size() <= kMost) return text;
  size_t size = kMost;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) --size;
  return text.substr(0, size);
}

// A table may have fewer rows than the tokenizer has ids: that is an error where such an id occurs.
void check_ids(const text::Tokenizer& tokenizer, std::span<const std::string> texts, const TokenizedTexts& tokenized,
               int64_t vocab_size) {
  for (size_t i = 0; i < texts.size(); ++i) {
    for (const int32_t id : tokenized.ids[i]) {
      if (id < vocab_size) continue;
      fail(ErrorCode::kInvalidArgument,
           "text {} (\"{}\"): expected tokens with ids below {}, the rows of the model's table, found {} (\"{}\"); "
           "leave this text out",
           i, beginning_of(texts[i]), vocab_size, id, tokenizer.id_to_token(id).value_or(""));
    }
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
  return std::make_shared<const text::Tokenizer>(text::Tokenizer::load(
      directory.transformer, {.lower_case = directory.pipeline.do_lower_case,
                              .config_overrides = directory.pipeline.transformer.tokenizer_overrides}));
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
                              const TokenizeOptions& options, ComputePool& pool) {
  const std::string& prompt = options.prompt;
  const text::EncodeOptions cut = {.max_length = options.max_length};
  TokenizedTexts result;
  result.ids.resize(texts.size());
  result.total_tokens.resize(texts.size());
  if (!prompt.empty()) {
    result.prompt_tokens = count_prompt_tokens(tokenizer, prompt, cut);
  }
  std::atomic<int64_t> invalid = 0;
  pool.parallel_for(static_cast<int64_t>(texts.size()), kTextsPerTask, [&](int64_t begin, int64_t end) {
    text::Encoding encoding;
    std::string prompted;
    for (int64_t i = begin; i < end; ++i) {
      const bool plain = prompt.empty();
      if (!plain) prompted.assign(prompt).append(texts[i]);
      tokenizer.encode(plain ? texts[i] : prompted, cut, encoding);
      result.ids[i].assign(encoding.ids.begin(), encoding.ids.end());
      result.total_tokens[i] = encoding.total_tokens;
      invalid += encoding.invalid_sequences;
    }
  });
  result.invalid_sequences = invalid;
  if (tokenizer.vocab_size() > options.vocab_size) check_ids(tokenizer, texts, result, options.vocab_size);
  return result;
}

}  // namespace remuda
