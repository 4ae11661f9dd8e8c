// What a model directory holds, as its own files say it, whatever it is asked for.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace remuda::io {

enum class DirectoryKind {
  kModel,               // Nothing says otherwise: an encoder, a summarizer, a language model.
  kSequenceClassifier,  // A class for a text, or a score for a pair.
  kCrossEncoder,
  kLateInteraction,  // ColBERT and its kin: a vector a token.
  kSparseEncoder,    // SPLADE and its kin: a weight a word of the vocabulary.
};

struct DirectoryKindFound {
  DirectoryKind kind = DirectoryKind::kModel;
  std::string where;  // "<file>: <field>", or the file whose presence says it.
  std::string found;  // What stands there.
};

// From modules.json with config_sentence_transformers.json's model_type, else config.json's architectures and the
// files that go with a kind. Throws Error(kInvalidFile).
DirectoryKindFound find_directory_kind(const std::filesystem::path& directory);

// Throws Error(kUnsupported) where the directory is of a kind with a name of its own: `purpose`, "embeddings" for
// example, is what it was given for. What find_directory_kind throws, too.
void require_model_for(std::string_view purpose, const std::filesystem::path& directory);

}  // namespace remuda::io
