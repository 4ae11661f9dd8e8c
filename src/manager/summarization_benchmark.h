// How fast a summarization model is on this machine, measured below the manager, where encoding and decoding can be
// told apart.
#pragma once

#include <cstdint>
#include <functional>

#include "remuda/summarization_model_manager.h"

namespace remuda {

struct SummarizationBenchmarkOptions {
  int64_t documents = 1;       // Decoded at once.
  int64_t input_tokens = 512;  // Of each; cut to the model's window.
  int64_t output_tokens = 40;  // Of each, without the start token: neither more nor less.
  int64_t num_beams = 4;
  double seconds = 3;  // For each of the measurements, which do at least a few rounds.
  std::function<bool()> cancelled = nullptr;
};

struct SummarizationBenchmark {
  SummarizationBenchmarkOptions options;  // With the input that was measured.
  double encode_tokens_per_s = 0;
  double step_ms = 0;  // Mean, the search's own work included.
  double documents_per_s = 0;
  // From ids to ids, of one document alone.
  double single_p50_ms = 0;
  double single_p99_ms = 0;
};

// After a warm-up, on an instance of the manager's, with made-up ids. Throws Error(kInvalidArgument) for what the model
// has no room for; Error(kCancelled); OutOfMemory.
SummarizationBenchmark benchmark_summarization(SummarizationModelManager& manager,
                                               const SummarizationBenchmarkOptions& options);

}  // namespace remuda
