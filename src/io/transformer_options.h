// What sentence-transformers writes beside the transformer of a chain: sentence_bert_config.json, whose name older
// versions made of the model's type.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "base/json.h"

namespace remuda::io {

struct TransformerOptions {
  int64_t max_seq_length = 0;  // 0: nothing.
  bool do_lower_case = false;
  std::optional<JsonDocument> document;  // The file, which the next value is in.
  std::optional<JsonValue> config;       // Overrides of config.json's fields.
  // Overrides of tokenizer_config.json's fields: the text of a JSON object; empty: none.
  std::string tokenizer_overrides;
};

// Without a file the defaults. Throws Error(kInvalidFile). Warns of what is not used.
TransformerOptions read_transformer_options(const std::filesystem::path& directory);

// Throws Error(kUnsupported) where the file makes the transformer give something else than the text's token vectors.
void require_token_vectors(const TransformerOptions& options);

// The tokens of a text at most, as tokenizer_config.json's model_max_length has it, or max_len of older versions; 0: it
// says nothing that can be. Throws Error(kInvalidFile).
int64_t read_tokenizer_max_length(const std::filesystem::path& directory);

}  // namespace remuda::io
