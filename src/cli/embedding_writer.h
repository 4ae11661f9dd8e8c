// Where embeddings go: JSON lines on standard output, or a NumPy array in a file.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "remuda/embedding_model_manager.h"

namespace remuda::cli {

// Takes embeddings in input order. Not thread-safe.
class EmbeddingWriter {
 public:
  virtual ~EmbeddingWriter() = default;

  // Throws Error(kIo).
  virtual void write(const Embeddings& embeddings) = 0;
  // What was written so far becomes the result. Throws Error(kIo).
  virtual void finish() = 0;
};

// One object a text: {"index", "embedding", "tokens", "tokens_used", "truncated"}.
std::unique_ptr<EmbeddingWriter> make_json_lines_writer();

// A float32 array [texts, dimension]. The file appears under its name when it is finished; until then it grows beside
// it under a temporary one, which the destructor removes. Throws Error(kInvalidArgument) for a name that does not end
// in .npy or is not a regular file's, Error(kIo).
std::unique_ptr<EmbeddingWriter> make_npy_writer(const std::string& path, int64_t dimension);

}  // namespace remuda::cli
