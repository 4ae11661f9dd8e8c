#include "cli/demo_summaries.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cli/bundled_texts.h"
#include "cli/demo_memory.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/text_command.h"
#include "remuda/error.h"
#include "remuda/summarization_model_manager.h"

namespace remuda::cli {
namespace {

// Lines of at most `width` characters between words, each with the indent before it.
std::string wrapped(std::string_view text, size_t width, std::string_view indent) {
  std::string lines;
  while (!text.empty()) {
    size_t end = text.size();
    if (indent.size() + end > width) {
      end = text.rfind(' ', width - indent.size());
      if (end == std::string_view::npos) end = std::min(text.find(' '), text.size());
    }
    lines += fmt::format("{}{}\n", indent, text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

// Nothing where the model is nowhere.
std::unique_ptr<SummarizationModelManager> make_manager(const Settings& settings) {
  try {
    return std::make_unique<SummarizationModelManager>(settings);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kNotFound) throw;
  }
  fmt::print(
      "Summaries need a model, and there is no {} here. The\n"
      "project's own stands in pretrained/ of a checkout; --summarization-model takes\n"
      "a directory or a name in the Hugging Face cache: facebook/bart-large-cnn, say.\n",
      settings.summarization_model);
  return nullptr;
}

}  // namespace

void show_summaries(const Settings& settings) {
  constexpr size_t kWidth = 80;
  const auto loading = std::chrono::steady_clock::now();
  auto manager = make_manager(settings);
  if (manager == nullptr) return;
  manager->warm_up();
  const SummarizationModelInfo& info = manager->info();
  fmt::print("{}\n  {} parameters, documents of up to {} tokens, loaded in {:.0f} ms\n\n", info.name,
             with_commas(info.parameters), info.window, milliseconds_since(loading));

  const std::vector<std::string>& documents = bundled_documents();
  const auto start = std::chrono::steady_clock::now();
  const std::vector<Summary> summaries = manager->summarize(documents, {.cancelled = interrupted});
  const double seconds = milliseconds_since(start) / 1e3;
  int64_t read = 0;
  int64_t written = 0;
  for (size_t i = 0; i < documents.size(); ++i) {
    read += summaries[i].used_tokens;
    written += summaries[i].output_tokens();
    fmt::print("{}{}\n", wrapped(documents[i], kWidth, "  "), wrapped(summaries[i].best.text, kWidth, "    > "));
  }
  fmt::print("{} documents decoded together in {:.1f} s: {} tokens read, {} written.\n", documents.size(), seconds,
             read, written);
  fmt::print("\nBoth models in memory, and without the second:\n\n");
  print_memory();
  manager.reset();
  print_memory();
}

}  // namespace remuda::cli
