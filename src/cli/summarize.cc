// remuda summarize: documents to abstractive summaries.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/fail.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/generation_flags.h"
#include "cli/interrupt.h"
#include "cli/options.h"
#include "cli/summarize_run.h"
#include "cli/text_command.h"

namespace remuda::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kHelp = R"(
Output, a line a document in input order:
  {"index": 0, "summary": "a herd of horses", "ids": [101, 1037, ..., 102],
   "input_tokens": 312, "output_tokens": 9, "truncated": false}

"ids" are those of transformers' generate(): start token first, end token last.
With --num-return-sequences above 1 there are also "score" and "others", with
--partial "complete", and with --long "parts" (begin and end in bytes, tokens),
"merges" (how often summaries were summarised) and "merged" (false where merging
got no further, and the summary is those of the parts, one after the other).

A document is a line, or with --jsonl an object's "text", or with --whole-file a
file. An empty one has an empty summary. One beyond the model's window is cut,
and said to be, unless --long splits it at the ends of sentences, summarises the
parts together and then their summaries. Ctrl-C keeps the documents that are
complete and exits with 130. A document that can't be summarised (a token that
the model has no row for, scores that are no numbers) is named on stderr and has
no line; the others have theirs, and the exit code is 1.

--max-length and the like bound the summary, as in transformers; the cut of the
input is --max-input-tokens. Documents are decoded together in pieces of 32, and
a document's summary is the same whatever is decoded beside it.

Examples:
  remuda summarize articles.txt > summaries.jsonl
  remuda summarize --stream --whole-file report.txt
  remuda summarize -m facebook/bart-large-cnn --precision int8 --jsonl a.jsonl
  remuda summarize --num-beams 4 --length-penalty -0.5 --early-stopping true a.txt
  remuda summarize --long --whole-file book.txt
  remuda summarize --do-sample true --top-p 0.9 --seed 7 a.txt)";

constexpr size_t kDocumentsTogether = 32;

struct SummarizeFlags {
  CommonOptions common;
  TextReaderOptions input;
  SummarizeOptions summarize;
  LongOptions parts;
  bool long_documents = false;
  std::optional<double> timeout;
  bool stream = false;
  bool stats = false;
};

void print_stats(const SummarizeTotals& totals, double load_ms, double seconds,
                 const SummarizationModelManager& manager) {
  print_run_stats({{"documents", totals.documents},
                   {"input_tokens", totals.input_tokens},
                   {"used_tokens", totals.used_tokens},
                   {"output_tokens", totals.output_tokens},
                   {"seconds", seconds},
                   {"documents_per_s", static_cast<double>(totals.documents) / seconds},
                   {"output_tokens_per_s", static_cast<double>(totals.output_tokens) / seconds},
                   {"truncated", totals.truncated},
                   {"incomplete", totals.incomplete},
                   {"failed", totals.failed},
                   {"invalid_utf8", totals.invalid_utf8}},
                  {.load_ms = load_ms,
                   .precision = manager.precision(),
                   .device = manager.get_device(),
                   .pool = manager.get_pool_stats()});
}

// What happened to documents is never silent.
void warn_about(const SummarizeTotals& totals, int64_t window) {
  if (totals.truncated > 0) {
    warn(fmt::format("{} of {} documents were cut at {} tokens; --long reads all of them",
                     with_commas(totals.truncated), with_commas(totals.documents), window));
  }
  if (totals.incomplete > 0) {
    warn(fmt::format("{} of {} summaries are not complete: their time was up", with_commas(totals.incomplete),
                     with_commas(totals.documents)));
  }
  warn_of_invalid_utf8(totals.invalid_utf8);
}

SummarizePlan plan_of(const SummarizeFlags& flags, const SummarizationModelInfo& info) {
  SummarizePlan plan;
  plan.options = flags.summarize;
  plan.stream = flags.stream;
  if (flags.long_documents) plan.long_documents = flags.parts;
  if (flags.timeout) {
    plan.options.timeout =
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(*flags.timeout));
  }
  const GenerationOptions generation = flags.summarize.generation.over(info.generation);
  plan.fields = {.others = generation.num_return_sequences.value_or(1) > 1,
                 .coverage = flags.long_documents,
                 .complete = flags.summarize.partial};
  return plan;
}

// What is said of an option first is said of its flag.
[[noreturn]] void rethrow_as_usage(const Error& error) {
  const std::string message = error.what();
  const std::string option = message.substr(0, message.find_first_of(": "));
  std::vector<std::string> options = {"max_input_tokens", "max_batch_tokens", "part_tokens", "overlap_tokens"};
  const GenerationOptions none;
  GenerationOptions::for_each([&options](const char* name, const auto&) { options.emplace_back(name); }, none);
  if (std::ranges::find(options, option) == options.end()) throw error;
  throw Error(error.code(), flag_name(option) + message.substr(option.size()));
}

// Makes an instance, and finds out options that contradict each other or the model before a document is read.
void prepare(SummarizationModelManager& manager, const SummarizePlan& plan) {
  SummarizeOptions options = plan.options;
  options.timeout.reset();
  try {
    const Lease<SummarizationInstance> instance = manager.acquire();
    manager.summarize({}, *instance, options);
    if (plan.long_documents) manager.summarize_long("", *instance, options, *plan.long_documents);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalidArgument) throw;
    rethrow_as_usage(error);
  }
}

int summarize(const SummarizeFlags& flags) {
  const Settings settings = apply(flags.common);
  catch_interrupts();
  TextReaderOptions input = flags.input;
  const bool one_by_one = flags.stream || flags.long_documents;
  if (one_by_one) input.max_texts = 1;
  TextReader reader(input);
  const Clock::time_point loading = Clock::now();
  SummarizationModelManager manager(settings);
  const SummarizePlan plan = plan_of(flags, manager.info());
  prepare(manager, plan);
  const double load_ms = milliseconds_since(loading);

  invite_typing(flags.input, flags.input.whole_files ? "a document" : "documents, one a line");
  const Clock::time_point start = Clock::now();
  SummarizeRun run(manager, plan, reader, flags.stream ? 1 : settings.model_pool_max_instances);
  run.run();
  SummarizeTotals totals = run.totals();
  totals.invalid_utf8 += reader.repaired();
  warn_about(totals, plan.options.max_input_tokens.value_or(manager.info().window));
  if (flags.stats) print_stats(totals, load_ms, milliseconds_since(start) / 1e3, manager);
  const int code = end_run(run.failure(), totals.documents, "documents");
  return code == kSuccess && totals.failed > 0 ? kFailed : code;
}

void add_input_flags(CLI::App& command, SummarizeFlags& flags) {
  CLI::Option* jsonl =
      command.add_flag("--jsonl", flags.input.jsonl, "Lines are JSON objects; the document is in \"text\"");
  command.add_flag("--whole-file", flags.input.whole_files, "Each FILE is one document, not each line")
      ->excludes(jsonl);
  command
      .add_option("--max-input-tokens", flags.summarize.max_input_tokens,
                  "Cut documents at N tokens, special ones included\n[the model's window]")
      ->option_text("N");
}

void add_long_flags(CLI::App& command, SummarizeFlags& flags) {
  CLI::Option* is_long =
      command.add_flag("--long", flags.long_documents, "Read documents of any length, in parts of the\nmodel's window");
  command.add_option("--part-tokens", flags.parts.part_tokens, "Tokens of a part at most [the window]")
      ->option_text("N")
      ->needs(is_long);
  command
      .add_option("--overlap-tokens", flags.parts.overlap_tokens,
                  "Tokens that a part has in common with the next,\nat most [a sixteenth of a part]")
      ->option_text("N")
      ->needs(is_long);
}

void add_time_flags(CLI::App& command, SummarizeFlags& flags) {
  constexpr double kLeastSeconds = 1e-3;
  constexpr double kMostSeconds = 1e6;
  CLI::Option* timeout = command.add_option("--timeout", flags.timeout,
                                            "Time for the documents that are decoded together;\n"
                                            "an error when it is up");
  timeout->option_text("SECONDS")->check(CLI::Range(kLeastSeconds, kMostSeconds));
  command.add_flag("--partial", flags.summarize.partial, "With --timeout: no error; summaries as far as they are")
      ->needs(timeout)
      ->excludes(command.get_option("--long"));
}

}  // namespace

void add_summarize(CLI::App& app, Action& action) {
  auto flags = std::make_shared<SummarizeFlags>();
  flags->common.kind = ModelKind::kSummarization;
  flags->input.max_texts = kDocumentsTogether;
  CLI::App& command = *app.add_subcommand("summarize", "Abstractive summaries of documents, one a line");
  add_files(command, flags->input.files, "Documents, one a line");
  add_model_flag(command, flags->common);
  add_input_flags(command, *flags);
  add_long_flags(command, *flags);
  command.add_flag("--stream", flags->stream, "Print the text as it is settled, a document after\nthe other; no JSON");
  add_time_flags(command, *flags);
  command
      .add_option(
          "--max-batch-tokens", flags->summarize.max_batch_tokens,
          fmt::format("Tokens, with those of the summaries, of the\ndocuments decoded at once; changes no result\n"
                      "[{}; on a GPU {}, as far as there is room]",
                      SummarizeOptions::default_max_batch_tokens(DeviceKind::kCpu),
                      SummarizeOptions::default_max_batch_tokens(DeviceKind::kGpu)))
      ->option_text("N");
  command.add_flag("--task-params", flags->common.task_params,
                   "Options and prefix as transformers' summarization\npipeline took them (task_specific_params of\n"
                   "config.json first); without it as generate() does");
  add_compute_flags(command, flags->common);
  command.add_flag("--stats", flags->stats, "Print figures as JSON on stderr at the end");
  add_generation_flags(command, flags->summarize.generation);
  command.footer(kHelp + 1);
  command.callback([flags, &action] { action = [flags] { return summarize(*flags); }; });
}

}  // namespace remuda::cli
