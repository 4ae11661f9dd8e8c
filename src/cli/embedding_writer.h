// Where embeddings go: JSON lines on standard output or in a file, or a NumPy array in a file.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cli/text_reader.h"
#include "remuda/embedding_model_manager.h"

namespace remuda::cli {

// The results of some texts. Rows of those that failed are NaN.
struct EmbedChunk {
  Embeddings embeddings;
  std::vector<FailedText> failed;   // In order.
  std::vector<uint64_t> text_sums;  // Checksums of the texts.
};

// Takes embeddings in input order. Not thread-safe.
class EmbeddingWriter {
 public:
  virtual ~EmbeddingWriter() = default;

  // Throws Error(kIo).
  virtual void write(const EmbedChunk& chunk) = 0;
  // What was written so far becomes the result. Throws Error(kIo).
  virtual void finish() = 0;
  // How many texts an earlier run has done, how many of them failed, and the sum over them as add_sum() makes it.
  virtual int64_t texts_done() const { return 0; }
  virtual int64_t failed_done() const { return 0; }
  virtual uint64_t sum_done() const { return 0; }
};

// A sum over texts, with another one's.
uint64_t add_sum(uint64_t sum, uint64_t text_sum);

// One object a text: {"index", "embedding", "tokens", "tokens_used", "truncated"}; none for one that failed.
std::unique_ptr<EmbeddingWriter> make_json_lines_writer();

struct EmbeddingFileOptions {
  std::string path;  // Ends in .npy, or in .jsonl for the lines that stdout would get.
  int64_t dimension = 0;
  bool resume = false;
  std::string terms;  // A JSON object of whatever the embeddings depend on.
};

// A float32 array [texts, dimension], or JSON lines. The file appears under its name when it is finished, see
// PartialFile. Throws Error(kInvalidArgument) for a name that ends in something else or is not a regular file's,
// Error(kIo).
std::unique_ptr<EmbeddingWriter> make_file_writer(const EmbeddingFileOptions& options);

}  // namespace remuda::cli
