// Tokenizers of before tokenizer.json, from their vocabulary files and tokenizer_config.json: what transformers makes
// of them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "base/json.h"
#include "text/tokenizer_impl.h"

namespace remuda::text {

constexpr uint64_t kMaxTokenizerFileBytes = uint64_t{1} << 28;

// Each throws Error(kInvalidFile) and Error(kIo). `config` is that of tokenizer_config.json, where it is there.

// BERT's vocab.txt, a token a line.
Tokenizer::Impl bert_from_files(const std::filesystem::path& vocabulary, const std::optional<JsonValue>& config,
                                const LoadOptions& load);

// vocab.json and merges.txt, of RoBERTa and BART or of GPT-2: the config's tokenizer_class says which, or else whether
// the vocabulary has RoBERTa's "<s>" and "</s>".
Tokenizer::Impl byte_pairs_from_files(const std::filesystem::path& vocabulary, const std::filesystem::path& merges,
                                      const std::optional<JsonValue>& config, const LoadOptions& load);

}  // namespace remuda::text
