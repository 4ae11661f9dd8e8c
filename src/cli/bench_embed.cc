// remuda bench embed: throughput and latency of an embedding model.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/fail.h"
#include "base/seconds_since.h"
#include "cli/bench.h"
#include "cli/bench_callers.h"
#include "cli/bundled_texts.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/options.h"
#include "cli/text_reader.h"
#include "remuda/embedding_model_manager.h"

namespace remuda::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kHelp = R"(
Measured after a warm-up: the throughput over all texts, again and again until
--seconds have passed; then the latency from string to vector, on the same texts
one at a time in turn, for half of --seconds (20 calls at least, 2000 at most).
Without files, some sixty bundled texts of mixed length are used. With --callers,
so many threads then embed one text at a time each, which the manager joins, and
are compared with one call that has all the texts.

Examples:
  remuda bench embed --precision int8
  remuda bench embed --callers 16
  remuda bench embed --json --threads 1 texts.txt)";

struct EmbedBenchFlags {
  CommonOptions common;
  TextReaderOptions input;
  EmbedOptions embed;
  BenchFlags bench;
  int64_t callers = 0;
};

struct Throughput {
  int64_t docs = 0;
  int64_t tokens = 0;
  double seconds = 0;
};

struct Latency {
  double p50_ms = 0;
  double p99_ms = 0;
  double mean_ms = 0;
};

std::vector<std::string> read_all(const TextReaderOptions& input) {
  if (input.files.empty()) return bundled_texts();
  TextReader reader(input);
  std::vector<std::string> all;
  for (std::vector<std::string> texts; reader.read(texts);) std::ranges::move(texts, std::back_inserter(all));
  if (all.empty() && !interrupted())
    fail(ErrorCode::kInvalidArgument, "{}: expected texts, found none", input.files[0]);
  return all;
}

// Whole passes over the texts, at least one.
Throughput measure_throughput(EmbeddingModelManager& manager, const std::vector<std::string>& texts,
                              const EmbedBenchFlags& flags) {
  Throughput result;
  const Clock::time_point start = Clock::now();
  do {
    const Embeddings embeddings = manager.embed_texts(texts, flags.embed);
    result.docs += embeddings.size();
    result.tokens += std::accumulate(embeddings.used_tokens.begin(), embeddings.used_tokens.end(), int64_t{0});
    result.seconds = seconds_since(start);
  } while (result.seconds < flags.bench.seconds);
  return result;
}

// One text at a time, in turn.
Latency measure_latency(EmbeddingModelManager& manager, const std::vector<std::string>& texts,
                        const EmbedBenchFlags& flags) {
  constexpr size_t kMostCalls = 2000;
  constexpr size_t kFewestCalls = 20;
  std::vector<double> times;
  const Clock::time_point start = Clock::now();
  while (times.size() < kFewestCalls || (times.size() < kMostCalls && seconds_since(start) < flags.bench.seconds / 2)) {
    const Clock::time_point call = Clock::now();
    manager.embed_text(texts[times.size() % texts.size()], flags.embed);
    times.push_back(seconds_since(call) * 1e3);
  }
  std::ranges::sort(times);
  const auto at = [&times](double share) {
    return times[static_cast<size_t>(share * static_cast<double>(times.size() - 1))];
  };
  return {at(0.5), at(0.99), std::accumulate(times.begin(), times.end(), 0.0) / static_cast<double>(times.size())};
}

struct BenchReport {
  double load_ms = 0;
  std::optional<double> second_instance_ms;
  Throughput throughput;
  Latency single;
  std::optional<CallersFigures> callers;
  Computing computing;
};

CallersFigures measure_callers(EmbeddingModelManager& manager, const std::vector<std::string>& texts,
                               const EmbedBenchFlags& flags) {
  const auto size = static_cast<int64_t>(texts.size());
  return measure_callers(CallersWork{
      .callers = flags.callers,
      .seconds = flags.bench.seconds,
      .one = [&](int64_t number) { manager.embed_text(texts[static_cast<size_t>(number % size)], flags.embed); },
      .all = [&] { return manager.embed_texts(texts, flags.embed).size(); },
      .cancelled = interrupted});
}

void print_json(const BenchReport& report, const EmbeddingModelManager& manager) {
  const auto& [docs, tokens, seconds] = report.throughput;
  nlohmann::ordered_json json = {{"model", manager.model_name()},
                                 {"precision", to_string(manager.precision())},
                                 {"isa", report.computing.isa},
                                 {"threads", report.computing.threads},
                                 {"dimension", manager.dimension()},
                                 {"load_ms", report.load_ms},
                                 {"docs", docs},
                                 {"tokens", tokens},
                                 {"seconds", seconds},
                                 {"docs_per_s", static_cast<double>(docs) / seconds},
                                 {"tokens_per_s", static_cast<double>(tokens) / seconds},
                                 {"single_p50_ms", report.single.p50_ms},
                                 {"single_p99_ms", report.single.p99_ms},
                                 {"single_mean_ms", report.single.mean_ms},
                                 {"peak_rss_bytes", peak_rss_bytes()}};
  if (report.second_instance_ms) json["second_instance_ms"] = *report.second_instance_ms;
  if (report.callers) json["callers"] = to_json(*report.callers);
  fmt::print("{}\n", json.dump(2));
}

void print_text(const BenchReport& report, const EmbeddingModelManager& manager) {
  const auto& [docs, tokens, seconds] = report.throughput;
  fmt::print("{}\n", manager.model_name());
  fmt::print("  computing    {} on {}, {} kernels, {} threads\n", to_string(manager.precision()), manager.get_device(),
             report.computing.isa, report.computing.threads);
  print_load(report.load_ms, report.second_instance_ms);
  fmt::print("  throughput   {} texts/s, {} tokens/s ({} texts in {:.1f} s)\n",
             with_commas(static_cast<int64_t>(static_cast<double>(docs) / seconds)),
             with_commas(static_cast<int64_t>(static_cast<double>(tokens) / seconds)), with_commas(docs), seconds);
  fmt::print("  one text     p50 {:.2f} ms, p99 {:.2f} ms, mean {:.2f} ms\n", report.single.p50_ms,
             report.single.p99_ms, report.single.mean_ms);
  if (report.callers) print_callers(*report.callers, "texts");
  fmt::print("  peak memory  {}\n", human_bytes(peak_rss_bytes()));
}

int bench_embed(EmbedBenchFlags flags) {
  const Settings settings = apply(flags.common);
  catch_interrupts();
  flags.embed.cancelled = interrupted;
  const std::vector<std::string> texts = read_all(flags.input);
  if (interrupted()) return kInterrupted;
  const Clock::time_point loading = Clock::now();
  EmbeddingModelManager manager(settings);
  manager.warm_up();
  BenchReport report;
  report.load_ms = seconds_since(loading) * 1e3;
  report.second_instance_ms = measure_second_instance(manager);
  report.computing = describe_computing(settings);

  const std::span warm_up_texts = std::span(texts).first(std::min<size_t>(texts.size(), 64));
  manager.embed_texts(warm_up_texts, flags.embed);
  report.throughput = measure_throughput(manager, texts, flags);
  report.single = measure_latency(manager, texts, flags);
  if (flags.callers > 0) report.callers = measure_callers(manager, texts, flags);
  flags.bench.json ? print_json(report, manager) : print_text(report, manager);
  return kSuccess;
}

}  // namespace

void add_bench_embed(CLI::App& bench, Action& action) {
  constexpr int64_t kMaxLength = 256;
  auto flags = std::make_shared<EmbedBenchFlags>();
  flags->embed.max_length = kMaxLength;
  CLI::App& command = *bench.add_subcommand("embed", "Of an embedding model");
  command.add_option("FILE", flags->input.files, "Texts, one a line; \"-\" is standard input")->option_text("...");
  add_model_flag(command, flags->common);
  command.add_flag("--jsonl", flags->input.jsonl, "Lines are JSON objects; the text is in \"text\"");
  add_bench_flags(command, flags->bench, "throughput");
  add_callers(command, flags->callers, "one text");
  add_max_length(command, flags->embed.max_length, "256");
  add_max_batch_tokens(command, flags->embed.max_batch_tokens);
  add_compute_flags(command, flags->common);
  command.footer(kHelp + 1);
  command.callback([flags, &action] { action = [flags] { return bench_embed(*flags); }; });
}

}  // namespace remuda::cli
