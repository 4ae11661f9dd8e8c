// What all instances of a summarization model share, and the way from texts to ids.
#pragma once

#include <future>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "manager/weight_cache.h"
#include "models/bart_directory.h"
#include "models/bart_engine.h"
#include "remuda/summarization_model_manager.h"
#include "text/tokenizer.h"

namespace remuda {

struct SummarizationModel {
  // Loads tokenizer and weights side by side. On a CPU the weights may come of the cache; a GPU's are in memory that is
  // reserved, see models::GpuBart. Throws Error.
  SummarizationModel(const models::BartDirectory& directory, const std::string& device, Precision precision,
                     ComputePool& pool, const WeightCache& cache);

  // Memory of the device that is held, in bytes.
  size_t bytes() const { return bart->bytes() + (on_cpu ? tokenizer->bytes() : 0); }
  size_t mapped_bytes() const { return bart->mapped_bytes(); }  // Of that, pages of files.

  bool on_cpu = true;
  std::shared_ptr<const text::Tokenizer> tokenizer;
  std::unique_ptr<const models::BartModel> bart;

 private:
  SummarizationModel(const models::BartDirectory& directory, const std::string& device, Precision precision,
                     ComputePool& pool, const WeightCache& cache,
                     std::future<std::shared_ptr<const text::Tokenizer>> loading);
};

// As the constructor does. Throws Error.
std::shared_ptr<const text::Tokenizer> load_tokenizer(const models::BartDirectory& directory);

// Throws Error(kInvalidFile) where documents have no room beside the tokenizer's special tokens, or the model has no
// rows for these.
void check_fit(const text::Tokenizer& tokenizer, const models::BartDirectory& directory);

// A document as the model reads it. Without ids there is nothing to summarise.
struct TokenizedDocument {
  std::vector<int32_t> ids;
  int64_t total_tokens = 0;
  int64_t invalid_sequences = 0;
};

struct ReadingOptions {
  int64_t max_tokens = 0;         // That a document is cut at.
  int64_t vocab_size = 0;         // Ids that the model has rows for; the tokenizer may know more.
  std::string prefix = {};        // Put before each document.
  const char* what = "document";  // Errors call a text so.
};

// A text of white space alone has no ids. Uses the compute pool. Throws Error(kInvalidArgument), which names the text,
// for one with a token that the model has no row for.
std::vector<TokenizedDocument> tokenize_documents(const text::Tokenizer& tokenizer, std::span<const std::string> texts,
                                                  const ReadingOptions& options, ComputePool& pool);

// Whether the caller wants it to end.
bool is_cancelled(const SummarizeOptions& options);

// Throws Error(kCancelled) or TimeoutError when a call should end.
void throw_if_over(const SummarizeOptions& options, const Deadline& deadline);

}  // namespace remuda
