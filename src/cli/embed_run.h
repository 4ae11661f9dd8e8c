// Embeds a stream of texts; see OrderedRun.
#pragma once

#include <cstdint>
#include <exception>
#include <span>
#include <string>

#include "cli/embedding_writer.h"
#include "cli/ordered_run.h"
#include "remuda/embedding_model_manager.h"

namespace remuda::cli {

struct EmbedTotals {
  int64_t texts = 0;
  int64_t tokens = 0;  // Those that were used.
  int64_t truncated = 0;
  int64_t invalid_utf8 = 0;
  int64_t failed = 0;  // Texts that there is no embedding for, those of a run that this one continues included.
};

struct EmbedPlan {
  EmbedOptions options;
  int64_t chunks_at_once = 1;  // Each is computed on an instance of its own.
  bool skip_failed = false;    // Texts that fail are warned about, and are no failure of the run.
};

class EmbedRun {
 public:
  EmbedRun(EmbeddingModelManager& manager, const EmbedPlan& plan, TextReader& reader, EmbeddingWriter& writer);

  // As OrderedRun::run(); an interruption abandons the chunks that are not computed yet.
  void run() { run_.run(); }
  // Of the run, or of texts that failed: the others' results are written.
  std::exception_ptr failure() const;
  const EmbedTotals& totals() const { return totals_; }

 private:
  EmbedChunk compute(const TextChunk& texts) const;
  void embed(std::span<const std::string> texts, int64_t first, EmbedChunk& chunk) const;
  void write(const EmbedChunk& chunk);
  void note_failed(const EmbedChunk& chunk);

  EmbeddingModelManager& manager_;
  EmbedOptions options_;
  const bool skip_failed_;
  EmbeddingWriter& writer_;
  EmbedTotals totals_;
  int64_t next_index_;
  std::string first_failed_;  // What is wrong with the first text that failed.
  OrderedRun<EmbedChunk> run_;
};

}  // namespace remuda::cli
