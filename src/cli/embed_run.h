// Embeds a stream of texts: reads, computes and writes at the same time, in input order, with a bounded part of the
// input in memory.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <exception>
#include <future>

#include "cli/embedding_writer.h"
#include "cli/progress.h"
#include "cli/text_reader.h"
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
  // Abandons what is still being computed.
  ~EmbedRun();

  // Until the end of the input, an interruption, which abandons the chunks that are not computed yet, or a failure,
  // before which everything up to it is written. Throws what the writer throws.
  void run();

  // What went wrong with the input or the computation, if anything.
  std::exception_ptr failure() const { return failure_; }
  const EmbedTotals& totals() const { return totals_; }

 private:
  struct Chunk {
    std::future<Embeddings> embeddings;
    uint64_t input_end;  // Bytes of the input up to here.
  };

  void stream();
  bool start_next();
  void write_oldest();

  EmbeddingModelManager& manager_;
  EmbedOptions options_;
  TextReader& reader_;
  EmbeddingWriter& writer_;
  const size_t chunks_at_once_;
  Progress progress_;
  EmbedTotals totals_;
  std::exception_ptr failure_;
  std::atomic<bool> abandoned_ = false;
  std::deque<Chunk> chunks_;  // Being computed, the oldest first.
};

}  // namespace remuda::cli
