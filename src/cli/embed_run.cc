#include "cli/embed_run.h"

#include <utility>

#include "cli/interrupt.h"
#include "remuda/error.h"

namespace remuda::cli {

EmbedRun::EmbedRun(EmbeddingModelManager& manager, const EmbedOptions& options, TextReader& reader,
                   EmbeddingWriter& writer, int64_t chunks_at_once)
    : manager_(manager),
      options_(options),
      reader_(reader),
      writer_(writer),
      chunks_at_once_(static_cast<size_t>(chunks_at_once)),
      progress_(reader.total_bytes()) {
  options_.cancelled = [this] { return abandoned_ || interrupted(); };
}

EmbedRun::~EmbedRun() { abandoned_ = true; }  // The futures wait for their threads.

// Starts the next chunk; false at the end of the input and at an error in it.
bool EmbedRun::start_next() {
  std::vector<std::string> texts;
  try {
    if (!reader_.read(texts)) return false;
  } catch (...) {
    failure_ = std::current_exception();
    return false;
  }
  auto work = [this, texts = std::move(texts)] { return manager_.embed_texts(texts, options_); };
  chunks_.push_back({std::async(std::launch::async, std::move(work)), reader_.bytes_read()});
  return true;
}

void EmbedRun::write_oldest() {
  Chunk chunk = std::move(chunks_.front());
  chunks_.pop_front();
  Embeddings embeddings;
  try {
    embeddings = chunk.embeddings.get();
  } catch (...) {
    // The end: nothing may be written behind a gap. An interruption is no failure.
    if (!interrupted()) failure_ = std::current_exception();
    abandoned_ = true;
    chunks_.clear();
    return;
  }
  writer_.write(embeddings);
  totals_.texts += embeddings.size();
  totals_.invalid_utf8 += embeddings.invalid_sequences;
  for (int64_t i = 0; i < embeddings.size(); ++i) {
    totals_.tokens += embeddings.used_tokens[i];
    totals_.truncated += embeddings.truncated(i) ? 1 : 0;
  }
  progress_.update(totals_.texts, chunk.input_end);
}

// What is ready is written before waiting for a slow source, so that a person who types a line gets its answer.
void EmbedRun::stream() {
  while (!interrupted() && !failure_) {
    const bool busy = chunks_.size() >= chunks_at_once_ || (!chunks_.empty() && !reader_.ready());
    if (busy) {
      write_oldest();
    } else if (!start_next()) {
      return;
    }
  }
}

void EmbedRun::run() {
  stream();
  while (!chunks_.empty()) write_oldest();
}

}  // namespace remuda::cli
