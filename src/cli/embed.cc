// remuda embed: texts to vectors.
#include <CLI/CLI.hpp>
#include <chrono>
#include <nlohmann/json.hpp>
#include <span>

#include "base/fail.h"
#include "cli/commands.h"
#include "cli/embed_run.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/options.h"
#include "cli/text_command.h"
#include "manager/placement.h"

namespace remuda::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kHelp = R"(
Output, a line a text in input order:
  {"index": 0, "embedding": [0.03, ...], "tokens": 7, "tokens_used": 7,
   "truncated": false}

A text is a line without its newline ("\n" or "\r\n"); an empty line is an
empty text, so that line n of the output belongs to line n of the input.
Malformed UTF-8 is read as U+FFFD and reported. Input is read, computed and
written in pieces of a few hundred texts: no file is too long. Ctrl-C keeps
what is done, in a --output file too, and exits with 130.

Examples:
  remuda embed texts.txt > vectors.jsonl
  remuda embed --output vectors.npy --stats texts.txt
  remuda embed --jsonl --prompt "query: " < queries.jsonl
  zcat many.txt.gz | remuda embed --precision int8 --output many.npy)";

struct EmbedFlags {
  CommonOptions common;
  TextReaderOptions input;
  EmbedOptions embed;
  std::string output;
  bool stats = false;
};

void print_stats(const EmbedTotals& totals, double load_ms, double seconds, const EmbeddingModelManager& manager) {
  print_run_stats({{"texts", totals.texts},
                   {"tokens", totals.tokens},
                   {"seconds", seconds},
                   {"texts_per_s", static_cast<double>(totals.texts) / seconds},
                   {"tokens_per_s", static_cast<double>(totals.tokens) / seconds},
                   {"truncated", totals.truncated},
                   {"invalid_utf8", totals.invalid_utf8}},
                  {.load_ms = load_ms,
                   .precision = manager.precision(),
                   .device = manager.get_device(),
                   .pool = manager.get_pool_stats()});
}

// What happened to texts is never silent.
void warn_about(const EmbedTotals& totals, const EmbeddingModelManager& manager, const EmbedOptions& options) {
  if (totals.truncated > 0) {
    warn(fmt::format("{} of {} texts were cut at {} tokens", with_commas(totals.truncated), with_commas(totals.texts),
                     options.max_length.value_or(manager.info().max_seq_length)));
  }
  warn_of_invalid_utf8(totals.invalid_utf8);
}

// Short texts, too, are to fill a GPU's batch.
constexpr size_t kChunkForGpu = 1024;

int embed(const EmbedFlags& flags) {
  const Settings settings = apply(flags.common);
  catch_interrupts();
  TextReader reader(flags.input);
  const Clock::time_point loading = Clock::now();
  EmbeddingModelManager manager(settings);
  const auto writer =
      flags.output.empty() ? make_json_lines_writer() : make_npy_writer(flags.output, manager.dimension());
  // Makes an instance, and finds out options that don't fit the model before a text is read.
  manager.embed_texts(std::span<const std::string>(), *manager.acquire(), flags.embed);
  const double load_ms = milliseconds_since(loading);
  if (kind_of(manager.get_device()) == DeviceKind::kGpu) reader.set_max_texts(kChunkForGpu);

  invite_typing(flags.input, "texts, one a line");
  const Clock::time_point start = Clock::now();
  EmbedRun run(manager, flags.embed, reader, *writer, settings.model_pool_max_instances);
  run.run();
  writer->finish();
  warn_about(run.totals(), manager, flags.embed);
  if (flags.stats) print_stats(run.totals(), load_ms, milliseconds_since(start) / 1e3, manager);
  return end_run(run.failure(), run.totals().texts, "texts");
}

}  // namespace

void add_embed(CLI::App& app, Action& action) {
  auto flags = std::make_shared<EmbedFlags>();
  CLI::App& command = *app.add_subcommand("embed", "Sentence embeddings of texts, one a line");
  add_files(command, flags->input.files);
  add_model_flag(command, flags->common);
  command.add_flag("--jsonl", flags->input.jsonl, "Lines are JSON objects; the text is in \"text\"");
  command.add_option("-o,--output", flags->output, "Write a float32 array [texts, dimension] here\nin place of JSON")
      ->option_text("FILE.npy");
  CLI::Option* prompt_name =
      command.add_option("--prompt-name", flags->embed.prompt_name, "Put this prompt of the model's before texts")
          ->option_text("NAME");
  command.add_option("--prompt", flags->embed.prompt, "Put this text before each text")
      ->option_text("TEXT")
      ->excludes(prompt_name);
  add_max_length(command, flags->embed.max_length, "the model's max_seq_length");
  add_max_batch_tokens(command, flags->embed.max_batch_tokens);
  add_compute_flags(command, flags->common);
  command.add_flag("--stats", flags->stats, "Print figures as JSON on stderr at the end");
  command.footer(kHelp + 1);
  command.callback([flags, &action] { action = [flags] { return embed(*flags); }; });
}

}  // namespace remuda::cli
