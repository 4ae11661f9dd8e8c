// remuda embed: texts to vectors.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>

#include "base/checksum.h"
#include "base/fail.h"
#include "cli/commands.h"
#include "cli/embed_run.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/options.h"
#include "cli/text_command.h"
#include "manager/placement.h"
#include "remuda/version.h"

namespace remuda::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kHelp = R"(
Output, a line a text in input order:
  {"index": 0, "embedding": [0.03, ...], "tokens": 7, "tokens_used": 7,
   "truncated": false}

A text is a line without its newline ("\n" or "\r\n"); an empty line is an
empty text, so that line n of the output belongs to line n of the input.
Malformed UTF-8 is read as U+FFFD and reported, UTF-16 with a byte order mark
is read. Input is read, computed and written in pieces of a few hundred texts:
no file is too long. A text that has no embedding is an error that names it; the
others are written, and its row of an array is NaN.

--output X.npy is written when the run is done, and never before: what is done
of one that fails or is interrupted (Ctrl-C exits with 130), even killed, is
in X.partial.npy, and --resume goes on with it, given the same texts and model.

Examples:
  remuda embed texts.txt > vectors.jsonl
  remuda embed --output vectors.npy --stats texts.txt
  remuda embed --jsonl --prompt "query: " < queries.jsonl
  zcat many.txt.gz | remuda embed --precision int8 --output many.npy
  remuda embed --output vectors.npy --resume texts.txt)";

struct EmbedFlags {
  CommonOptions common;
  TextReaderOptions input;
  EmbedOptions embed;
  std::optional<std::string> output;
  bool resume = false;
  std::string on_error = "stop";
  bool stats = false;
};

// Whatever vectors depend on beside the texts: a run is continued only where it is the same.
std::string terms_of(const EmbedFlags& flags, const EmbeddingModelManager& manager) {
  const EmbeddingModelInfo& info = manager.info();
  std::string files;
  for (const std::string& name : info.files) {
    const std::filesystem::path file = std::filesystem::path(info.directory) / name;
    std::error_code ignored;
    files += fmt::format("{} {} {}; ", name, std::filesystem::file_size(file, ignored),
                         std::filesystem::last_write_time(file, ignored).time_since_epoch().count());
  }
  const nlohmann::ordered_json terms = {{"version", version()},
                                        {"model", info.directory},
                                        {"weights", files},
                                        {"precision", to_string(manager.precision())},
                                        {"device", kind_of(manager.get_device()) == DeviceKind::kGpu ? "cuda" : "cpu"},
                                        {"dimension", info.dimension},
                                        {"max_length", flags.embed.max_length.value_or(info.max_seq_length)},
                                        {"prompt", flags.embed.prompt.value_or("")},
                                        {"prompt_name", flags.embed.prompt_name.value_or("")},
                                        {"jsonl", flags.input.jsonl},
                                        {"field", flags.input.field}};
  return terms.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::unique_ptr<EmbeddingWriter> make_writer(const EmbedFlags& flags, const EmbeddingModelManager& manager) {
  if (!flags.output) return make_json_lines_writer();
  return make_file_writer({*flags.output, manager.dimension(), flags.resume, terms_of(flags, manager)});
}

// Reads the texts that an earlier run has done, which must be the ones that it did.
void skip_done(TextReader& reader, const EmbeddingWriter& writer) {
  constexpr int64_t kTogether = 256;
  uint64_t sum = 0;
  TextChunk chunk;
  int64_t left = writer.texts_done();
  while (left > 0) {
    reader.set_max_texts(static_cast<size_t>(std::min(left, kTogether)));
    if (!reader.read(chunk)) break;
    for (const std::string& text : chunk.texts) sum = add_sum(sum, checksum(std::as_bytes(std::span(text))));
    left -= std::ssize(chunk.texts);
  }
  reader.set_max_texts(kTogether);
  if (interrupted() || (left == 0 && sum == writer.sum_done())) return;
  fail(ErrorCode::kInvalidArgument,
       "--resume: expected the {} texts that the unfinished run has done first, found {}; leave out --resume to begin "
       "anew",
       with_commas(writer.texts_done()), left > 0 ? "fewer" : "others");
}

void print_stats(const EmbedTotals& totals, double load_ms, double seconds, const EmbeddingModelManager& manager) {
  print_run_stats({{"texts", totals.texts},
                   {"tokens", totals.tokens},
                   {"seconds", seconds},
                   {"texts_per_s", static_cast<double>(totals.texts) / seconds},
                   {"tokens_per_s", static_cast<double>(totals.tokens) / seconds},
                   {"truncated", totals.truncated},
                   {"invalid_utf8", totals.invalid_utf8},
                   {"failed", totals.failed}},
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
  if (totals.failed > 0) {
    warn(fmt::format("{} {} no embedding", with_commas(totals.failed), totals.failed == 1 ? "text has" : "texts have"));
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
  const std::unique_ptr<EmbeddingWriter> writer = make_writer(flags, manager);
  // Makes an instance, and finds out options that don't fit the model before a text is read.
  manager.embed_texts(std::span<const std::string>(), *manager.acquire(), flags.embed);
  const double load_ms = milliseconds_since(loading);
  skip_done(reader, *writer);
  if (kind_of(manager.get_device()) == DeviceKind::kGpu) reader.set_max_texts(kChunkForGpu);

  invite_typing(flags.input, "texts, one a line");
  const Clock::time_point start = Clock::now();
  EmbedRun run(manager,
               {.options = flags.embed,
                .chunks_at_once = settings.model_pool_max_instances,
                .skip_failed = flags.input.skip_bad},
               reader, *writer);
  run.run();
  if (!run.failure() && !interrupted()) writer->finish();
  EmbedTotals totals = run.totals();
  totals.invalid_utf8 += reader.repaired();
  warn_about(totals, manager, flags.embed);
  if (flags.stats) print_stats(totals, load_ms, milliseconds_since(start) / 1e3, manager);
  return end_run(run.failure(), totals.texts, "texts");
}

}  // namespace

void add_embed(CLI::App& app, Action& action) {
  auto flags = std::make_shared<EmbedFlags>();
  CLI::App& command = *app.add_subcommand("embed", "Sentence embeddings of texts, one a line");
  add_files(command, flags->input.files);
  add_model_flag(command, flags->common);
  CLI::Option* jsonl =
      command.add_flag("--jsonl", flags->input.jsonl, "Lines are JSON objects; the text is in \"text\"");
  command.add_option("--field", flags->input.field, "With --jsonl: the text is in this field [text]")
      ->option_text("NAME")
      ->needs(jsonl);
  CLI::Option* output =
      command.add_option("-o,--output", flags->output,
                         "Write here in place of stdout: X.npy, a float32\narray [texts, dimension], or X.jsonl");
  output->option_text("FILE");
  command.add_flag("--resume", flags->resume, "Go on with an unfinished run's X.partial.npy")->needs(output);
  command
      .add_option("--on-error", flags->on_error,
                  "stop, or skip: bad lines, and texts that have no\nembedding, are counted and named [stop]")
      ->option_text("WHAT")
      ->check(CLI::IsMember({"stop", "skip"}))
      ->each([flags](const std::string& what) { flags->input.skip_bad = what == "skip"; });
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
