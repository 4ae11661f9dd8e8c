#include "cli/embed_run.h"

namespace remuda::cli {

EmbedRun::EmbedRun(EmbeddingModelManager& manager, const EmbedOptions& options, TextReader& reader,
                   EmbeddingWriter& writer, int64_t chunks_at_once)
    : manager_(manager),
      options_(options),
      writer_(writer),
      run_(reader, chunks_at_once, "texts",
           {.compute = [this](const auto& texts) { return manager_.embed_texts(texts, options_); },
            .write = [this](const Embeddings& embeddings) { write(embeddings); }}) {
  options_.cancelled = [this] { return run_.given_up(); };
}

void EmbedRun::write(const Embeddings& embeddings) {
  writer_.write(embeddings);
  totals_.texts += embeddings.size();
  totals_.invalid_utf8 += embeddings.invalid_sequences;
  for (int64_t i = 0; i < embeddings.size(); ++i) {
    totals_.tokens += embeddings.used_tokens[i];
    totals_.truncated += embeddings.truncated(i) ? 1 : 0;
  }
}

}  // namespace remuda::cli
