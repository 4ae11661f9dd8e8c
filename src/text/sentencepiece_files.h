// Tokenizers of a directory whose vocabulary is a SentencePiece file: what transformers makes of it.
#pragma once

#include <filesystem>
#include <optional>

#include "base/json.h"
#include "text/bpe.h"
#include "text/sentencepiece_class.h"
#include "text/tokenizer_impl.h"

namespace remuda::text {

// A SentencePiece file, and the class to make of it.
struct SentencePieceFile {
  std::filesystem::path path;
  const SentencePieceClass* recipe;
};

// Which of a directory's files its class reads; nullopt when it has none for that. Throws Error(kUnsupported) for a
// class that isn't known when there is nothing but SentencePiece files.
std::optional<SentencePieceFile> find_sentencepiece_file(const std::filesystem::path& directory,
                                                         const std::optional<JsonValue>& config);

// `config` is that of tokenizer_config.json, where it is there. Throws Error: kInvalidFile, kIo, kUnsupported.
Tokenizer::Impl sentencepiece_from_file(const SentencePieceFile& file, const std::optional<JsonValue>& config,
                                        const LoadOptions& load);
// The same of the file's bytes; `file.path` names them, and the files beside them.
Tokenizer::Impl sentencepiece_from_bytes(std::string_view bytes, const SentencePieceFile& file,
                                         const std::optional<JsonValue>& config, const LoadOptions& load);

// Every way to make a token of two others, in the order of the tokens' ids, and of one token's by the left part's
// length: byte pairs' merges, which SentencePiece doesn't write down. They view the vocabulary. Throws
// Error(kInvalidFile) when there are more, or longer ones, than a vocabulary has.
LargeVector<Bpe::Pair> merges_of(const Vocabulary& vocabulary, const std::string& source);

}  // namespace remuda::text
