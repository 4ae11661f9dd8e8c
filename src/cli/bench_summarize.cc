// remuda bench summarize: encoding, decoding and latency of a summarization model.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <nlohmann/json.hpp>

#include "cli/bench.h"
#include "cli/bench_callers.h"
#include "cli/bundled_texts.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/options.h"
#include "cli/text_command.h"
#include "manager/summarization_benchmark.h"
#include "remuda/summarization_model_manager.h"

namespace remuda::cli {
namespace {

constexpr const char* kHelp = R"(
Measured after a warm-up, each for --seconds and at least three rounds: encoding;
then documents from ids to ids, decoded together by beam search, with the mean of
a decode step for all of them, the search's own work included; then one document
alone. The ids are made up, and every summary has just --output-tokens tokens, so
that the figures depend on the model's shape and not on what it says. With
--callers, so many threads then summarise a text of that size at a time each,
which the manager joins, and are compared with one call that has all the texts.

Examples:
  remuda bench summarize --precision int8
  remuda bench summarize --callers 8
  remuda bench summarize -m facebook/bart-large-cnn --documents 8 --json)";

struct SummarizeBenchFlags {
  CommonOptions common;
  SummarizationBenchmarkOptions benchmark;
  BenchFlags bench;
  int64_t callers = 0;
};

struct Report {
  SummarizationBenchmark figures;
  std::optional<CallersFigures> callers;
  double load_ms = 0;
  std::optional<double> second_instance_ms;
  Computing computing;
};

// Texts of the bundled documents' sentences, each beginning with another one, all longer than they will be cut at.
std::vector<std::string> long_texts(int64_t count, int64_t tokens) {
  std::string all;
  for (const std::string& document : bundled_documents()) all += document + ' ';
  std::vector<std::string> texts;
  for (int64_t i = 0; i < count; ++i) {
    constexpr size_t kMostBytesOfAToken = 8;
    std::string text = all.substr(all.find(' ', static_cast<size_t>(i) * 97 % all.size()) + 1);
    while (text.size() < static_cast<size_t>(tokens) * kMostBytesOfAToken) text += all;
    texts.push_back(std::move(text));
  }
  return texts;
}

CallersFigures measure_callers(SummarizationModelManager& manager, const SummarizeBenchFlags& flags,
                               const SummarizationBenchmarkOptions& used) {
  const std::vector<std::string> texts = long_texts(flags.callers, used.input_tokens);
  SummarizeOptions options{
      .max_input_tokens = used.input_tokens, .max_batch_tokens = INT64_MAX, .cancelled = interrupted};
  options.generation.num_beams = used.num_beams;
  options.generation.max_new_tokens = options.generation.min_new_tokens = used.output_tokens;
  return measure_callers(CallersWork{
      .callers = flags.callers,
      .seconds = flags.bench.seconds,
      .one =
          [&](int64_t number) { manager.summarize_text(texts[static_cast<size_t>(number % flags.callers)], options); },
      .all = [&] { return std::ssize(manager.summarize(texts, options)); },
      .cancelled = interrupted});
}

void print_json(const Report& report, const SummarizationModelManager& manager) {
  const SummarizationBenchmark& figures = report.figures;
  nlohmann::ordered_json json = {{"model", manager.model_name()},
                                 {"precision", to_string(manager.precision())},
                                 {"isa", report.computing.isa},
                                 {"threads", report.computing.threads},
                                 {"documents", figures.options.documents},
                                 {"input_tokens", figures.options.input_tokens},
                                 {"output_tokens", figures.options.output_tokens},
                                 {"num_beams", figures.options.num_beams},
                                 {"load_ms", report.load_ms},
                                 {"encode_tokens_per_s", figures.encode_tokens_per_s},
                                 {"step_ms", figures.step_ms},
                                 {"documents_per_s", figures.documents_per_s},
                                 {"single_p50_ms", figures.single_p50_ms},
                                 {"single_p99_ms", figures.single_p99_ms},
                                 {"peak_rss_bytes", peak_rss_bytes()}};
  if (report.second_instance_ms) json["second_instance_ms"] = *report.second_instance_ms;
  if (report.callers) json["callers"] = to_json(*report.callers);
  fmt::print("{}\n", json.dump(2));
}

void print_text(const Report& report, const SummarizationModelManager& manager) {
  const SummarizationBenchmark& figures = report.figures;
  fmt::print("{}\n", manager.model_name());
  fmt::print("  computing    {} on {}, {} kernels, {} threads\n", to_string(manager.precision()), manager.get_device(),
             report.computing.isa, report.computing.threads);
  fmt::print("  work         {} documents at once, {} tokens in, {} out, {} beams\n", figures.options.documents,
             figures.options.input_tokens, figures.options.output_tokens, figures.options.num_beams);
  print_load(report.load_ms, report.second_instance_ms);
  fmt::print("  encode       {} tokens/s\n", with_commas(static_cast<int64_t>(figures.encode_tokens_per_s)));
  fmt::print("  decode       {:.2f} ms a step\n", figures.step_ms);
  fmt::print("  throughput   {:.2f} documents/s\n", figures.documents_per_s);
  fmt::print("  one alone    p50 {:.1f} ms, p99 {:.1f} ms\n", figures.single_p50_ms, figures.single_p99_ms);
  if (report.callers) print_callers(*report.callers, "documents");
  fmt::print("  peak memory  {}\n", human_bytes(peak_rss_bytes()));
}

int bench_summarize(SummarizeBenchFlags flags) {
  const Settings settings = apply(flags.common);
  catch_interrupts();
  flags.benchmark.cancelled = interrupted;
  flags.benchmark.seconds = flags.bench.seconds;
  const auto loading = std::chrono::steady_clock::now();
  SummarizationModelManager manager(settings);
  manager.warm_up();
  Report report;
  report.load_ms = milliseconds_since(loading);
  report.second_instance_ms = measure_second_instance(manager);
  report.computing = describe_computing(settings);
  report.figures = benchmark_summarization(manager, flags.benchmark);
  if (flags.callers > 0) report.callers = measure_callers(manager, flags, report.figures.options);
  flags.bench.json ? print_json(report, manager) : print_text(report, manager);
  return kSuccess;
}

void add_count(CLI::App& command, const char* flag, int64_t& count, const char* help) {
  constexpr int64_t kMost = int64_t{1} << 20;
  command.add_option(flag, count, fmt::format("{} [{}]", help, count))
      ->option_text("N")
      ->check(CLI::Range(int64_t{1}, kMost));
}

}  // namespace

void add_bench_summarize(CLI::App& bench, Action& action) {
  auto flags = std::make_shared<SummarizeBenchFlags>();
  flags->common.kind = ModelKind::kSummarization;
  CLI::App& command = *bench.add_subcommand("summarize", "Of a summarization model");
  add_model_flag(command, flags->common);
  add_bench_flags(command, flags->bench, "each");
  add_count(command, "--documents", flags->benchmark.documents, "Documents decoded at once");
  add_count(command, "--input-tokens", flags->benchmark.input_tokens,
            "Tokens of a document; the model's window at most\n");
  add_count(command, "--output-tokens", flags->benchmark.output_tokens, "Tokens of a summary");
  add_count(command, "--num-beams", flags->benchmark.num_beams, "Beams");
  add_callers(command, flags->callers, "one document");
  add_compute_flags(command, flags->common);
  command.footer(kHelp + 1);
  command.callback([flags, &action] { action = [flags] { return bench_summarize(*flags); }; });
}

}  // namespace remuda::cli
