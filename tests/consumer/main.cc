// The README's C++ example, as a whole program.
#include <remuda/remuda.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

int main() {
  using namespace std::chrono_literals;
  try {
    remuda::EmbeddingModelManager embedder(remuda::get_settings());
    const std::vector<std::string> texts = {"A horse is a horse.", "The remuda waits at dawn.", "Of course."};

    {
      remuda::Lease<remuda::EmbeddingInstance> lease = embedder.acquire({.timeout = 10s});
      const std::vector<float> vector = embedder.embed_text(texts[0], *lease);
      std::printf("one text: %zu numbers, the first %.6f\n", vector.size(), static_cast<double>(vector[0]));
    }  // The instance goes back to the pool here, also on an exception.

    const remuda::Embeddings all = embedder.embed_texts(texts);  // No lease: takes one for the call.
    for (std::int64_t i = 0; i < all.size(); ++i) {
      std::printf("text %d: %d tokens, the first number %.6f\n", static_cast<int>(i), static_cast<int>(all.tokens[i]),
                  static_cast<double>(all.row(i)[0]));
    }

    remuda::SummarizationModelManager summarizer(remuda::get_settings());
    remuda::SummarizeOptions options;
    options.generation.num_beams = 4;  // The names of transformers' generate(); what is unset is as the model says.
    const std::vector<std::string> documents = {
        "This program watches directories and copies every file that changes to another machine."};
    for (const remuda::Summary& summary : summarizer.summarize(documents, options)) {
      std::printf("summary: %s (%d tokens)\n", summary.best.text.c_str(), static_cast<int>(summary.output_tokens()));
    }
  } catch (const remuda::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
  return 0;
}
