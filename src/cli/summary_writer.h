// Summaries as JSON lines on standard output.
#pragma once

#include <unistd.h>

#include <cstdint>

#include "cli/output.h"
#include "remuda/summarization_model_manager.h"

namespace remuda::cli {

struct SummaryFields {
  bool others = false;    // "score", and the rest of num_return_sequences under "others".
  bool coverage = false;  // "parts", "merges" and "merged", of a long document.
  bool complete = false;  // "complete".
};

class SummaryWriter {
 public:
  explicit SummaryWriter(const SummaryFields& fields) : fields_(fields) {}

  // One object: {"index", "summary", "ids", "input_tokens", "output_tokens", "truncated"}, and what the fields say.
  void write(int64_t index, const LongSummary& summary);
  // Throws Error(kIo).
  void flush() { out_.flush(); }

 private:
  const SummaryFields fields_;
  Output out_{STDOUT_FILENO, "stdout"};
};

}  // namespace remuda::cli
