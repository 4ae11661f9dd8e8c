// Embeds a stream of texts; see OrderedRun.
#pragma once

#include <cstdint>
#include <exception>

#include "cli/embedding_writer.h"
#include "cli/ordered_run.h"
#include "remuda/embedding_model_manager.h"

namespace remuda::cli {

struct EmbedTotals {
  int64_t texts = 0;
  int64_t tokens = 0;  // Those that were used.
  int64_t truncated = 0;
  int64_t invalid_utf8 = 0;
};

class EmbedRun {
 public:
  // At most `chunks_at_once` chunks are computed at the same time, each on an instance of its own.
  EmbedRun(EmbeddingModelManager& manager, const EmbedOptions& options, TextReader& reader, EmbeddingWriter& writer,
           int64_t chunks_at_once);

  // As OrderedRun::run(); an interruption abandons the chunks that are not computed yet.
  void run() { run_.run(); }
  std::exception_ptr failure() const { return run_.failure(); }
  const EmbedTotals& totals() const { return totals_; }

 private:
  void write(const Embeddings& embeddings);

  EmbeddingModelManager& manager_;
  EmbedOptions options_;
  EmbeddingWriter& writer_;
  EmbedTotals totals_;
  OrderedRun<Embeddings> run_;
};

}  // namespace remuda::cli
