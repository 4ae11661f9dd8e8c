// Vocabularies, from the files of before tokenizer.json and from that file.
#pragma once

#include <filesystem>

#include "base/json.h"
#include "text/tokenizer_class.h"

namespace remuda::text {

// Each throws Error(kInvalidFile) and Error(kIo).

// BERT's vocab.txt, a token a line; with or without the white space at a line's end.
enum class LineEnd { kTrimmed, kKept };
VocabularyParts read_vocabulary_lines(const std::filesystem::path& path, LineEnd end);

// vocab.json and merges.txt.
VocabularyParts read_byte_pair_files(const std::filesystem::path& vocabulary, const std::filesystem::path& merges);

// What a class takes of a tokenizer.json. The document must outlive the result.
VocabularyParts parse_vocabulary_parts(const JsonValue& tokenizer_json, TokenizerClass::Files files);

}  // namespace remuda::text
