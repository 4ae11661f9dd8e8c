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

// Of the file that the directory's class reads; nullopt when it has none, and may have other vocabulary files. Throws
// Error: kInvalidFile, kIo, kNotFound, and kUnsupported for a class that isn't known when there is nothing but
// SentencePiece files.
std::optional<Tokenizer::Impl> sentencepiece_from_directory(const std::filesystem::path& directory,
                                                            const LoadOptions& load);

// Of a file's bytes; `file.path` names them, and the files beside them. `config` is that of tokenizer_config.json.
Tokenizer::Impl sentencepiece_from_bytes(std::string_view bytes, const SentencePieceFile& file,
                                         const std::optional<JsonValue>& config, const LoadOptions& load);

// Every way to make a token of two others, in the order of the tokens' ids, and of one token's by the left part's
// length: byte pairs' merges, which SentencePiece doesn't write down. They view the vocabulary. Throws
// Error(kInvalidFile) when there are more, or longer ones, than a vocabulary has.
LargeVector<Bpe::Pair> merges_of(const Vocabulary& vocabulary, const std::string& source);

}  // namespace remuda::text
