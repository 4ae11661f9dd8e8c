// A model's tokenizer by the model's name, without its weights.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace remuda {

struct TokenizedText {
  std::vector<int32_t> ids;              // Special tokens included.
  std::vector<std::string_view> tokens;  // Of each id; they live as long as the ModelTokenizer.
  int64_t total_tokens = 0;              // Of the whole text.
  int64_t invalid_sequences = 0;         // Malformed UTF-8 sequences, read as U+FFFD.
};

// Immutable and thread-safe.
class ModelTokenizer {
 public:
  // `compute_threads` as in Settings. Throws Error: kNotFound, kInvalidFile, kUnsupported.
  explicit ModelTokenizer(const std::string& model_name, int64_t compute_threads = 0);
  ~ModelTokenizer();

  // In the texts' order, cut at max_length tokens where that is given. Uses the process's compute threads.
  std::vector<TokenizedText> tokenize(std::span<const std::string> texts, std::optional<int64_t> max_length,
                                      bool special_tokens = true) const;
  // As transformers' `decode`; an id that has no token gives nothing.
  std::string decode(std::span<const int32_t> ids, bool skip_special_tokens) const;
  // One more than the largest id.
  int64_t vocab_size() const;
  // Nothing for an id or a token that isn't there.
  std::optional<std::string_view> token(int32_t id) const;
  std::optional<int32_t> id(std::string_view token) const;

 private:
  struct Impl;
  std::unique_ptr<const Impl> impl_;
};

}  // namespace remuda
