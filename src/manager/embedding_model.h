// What all instances of an embedding model share, and the way from texts to ids.
#pragma once

#include <future>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/model_directory.h"
#include "manager/weight_cache.h"
#include "models/text_encoder.h"
#include "remuda/embedding_model_manager.h"
#include "text/tokenizer.h"

namespace remuda {

struct EmbeddingModel {
  // Loads tokenizer and weights side by side. On a CPU the weights may come of the cache; a GPU's are in memory that is
  // reserved, see models::GpuSentenceEncoder. Throws Error.
  EmbeddingModel(const io::ModelDirectory& directory, const std::string& device, Precision precision, ComputePool& pool,
                 const WeightCache& cache = {});

  // Memory of the device that is held, in bytes.
  size_t bytes() const { return encoder->bytes() + (on_cpu ? tokenizer->bytes() : 0); }
  size_t mapped_bytes() const { return encoder->mapped_bytes(); }  // Of that, pages of files.

  bool on_cpu = true;
  std::shared_ptr<const text::Tokenizer> tokenizer;
  std::unique_ptr<const models::TextEncoder> encoder;

 private:
  EmbeddingModel(const io::ModelDirectory& directory, const std::string& device, Precision precision, ComputePool& pool,
                 const WeightCache& cache, std::future<std::shared_ptr<const text::Tokenizer>> loading);
};

// A model's tokenizer without its weights.
std::shared_ptr<const text::Tokenizer> load_tokenizer(const io::ModelDirectory& directory);

// Texts as token ids, in the caller's order.
struct TokenizedTexts {
  std::vector<std::vector<int32_t>> ids;
  std::vector<int64_t> total_tokens;
  int64_t invalid_sequences = 0;
  int64_t prompt_tokens = 0;  // Of each sequence, the [CLS] before the prompt included.
};

struct TokenizeOptions {
  std::string prompt;  // Before each text.
  int64_t max_length = 0;
  int64_t vocab_size = 0;  // Rows of the encoder's table.
};

// Cuts each text, with the prompt before it, at max_length tokens. Uses the compute pool. Throws
// Error(kInvalidArgument) that names the first text with a token that the encoder's table has no row for.
TokenizedTexts tokenize_texts(const text::Tokenizer& tokenizer, std::span<const std::string> texts,
                              const TokenizeOptions& options, ComputePool& pool);

}  // namespace remuda
