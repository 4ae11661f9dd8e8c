// remuda demo: several threads share a pool of two instances, the embeddings that they compute answer questions, and
// texts are summarised.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <numeric>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/fail.h"
#include "cli/bundled_texts.h"
#include "cli/commands.h"
#include "cli/demo_memory.h"
#include "cli/demo_summaries.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/options.h"
#include "cli/text_command.h"
#include "manager/inspection.h"
#include "remuda/embedding_model_manager.h"

namespace remuda::cli {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr int kWorkers = 4;
constexpr size_t kTextsPerLease = 16;
constexpr auto kDuration = 3s;

// Threads that lease an instance, embed some texts, and give it back, until told to stop.
class Workers {
 public:
  explicit Workers(EmbeddingModelManager& manager) : manager_(manager) {
    for (int i = 0; i < kWorkers; ++i) workers_[i].thread = std::thread([this, i] { work(i); });
  }
  ~Workers() { stop(); }

  void stop() {
    stopped_ = true;
    for (Worker& worker : workers_) {
      if (worker.thread.joinable()) worker.thread.join();
    }
  }

  // "computing", or "waiting" for an instance.
  const char* state(int i) const { return workers_[i].computing ? "computing" : "waiting"; }
  int64_t texts(int i) const { return workers_[i].texts; }
  int64_t leases(int i) const { return workers_[i].leases; }
  int64_t texts() const {
    int64_t sum = 0;
    for (const Worker& worker : workers_) sum += worker.texts;
    return sum;
  }
  // Throws what a worker ended with, if any did. Call after stop().
  void rethrow_failure() const {
    for (const Worker& worker : workers_) {
      if (worker.failure) std::rethrow_exception(worker.failure);
    }
  }

 private:
  struct Worker {
    std::thread thread;
    std::atomic<bool> computing = false;
    std::atomic<int64_t> texts = 0;
    std::atomic<int64_t> leases = 0;
    std::exception_ptr failure;  // Written before the thread ends, read after.
  };

  void work(int number) {
    Worker& worker = workers_[number];
    const std::vector<std::string>& all = bundled_texts();
    try {
      for (size_t at = number * kTextsPerLease; !stopped_; at += kTextsPerLease) {
        const size_t begin = at % (all.size() - kTextsPerLease);
        const auto lease = manager_.acquire({.timeout = 10s, .label = fmt::format("worker {}", number + 1)});
        worker.computing = true;
        manager_.embed_texts(std::span(all).subspan(begin, kTextsPerLease), *lease);
        worker.computing = false;
        worker.texts += kTextsPerLease;
        ++worker.leases;
      }
    } catch (...) {
      worker.failure = std::current_exception();
    }
  }

  EmbeddingModelManager& manager_;
  std::atomic<bool> stopped_ = false;
  std::array<Worker, kWorkers> workers_;
};

std::string bar(int64_t filled, int64_t width) {
  return std::string(static_cast<size_t>(filled), '#') + std::string(static_cast<size_t>(width - filled), '.');
}

// The state of the pool as it changes: redrawn in place on a terminal, a line now and then elsewhere.
class Display {
 public:
  explicit Display(const Workers& workers) : workers_(workers) {}

  void draw(const PoolStats& pool, const std::vector<std::string>& memory, double seconds) {
    const auto rate = static_cast<int64_t>(static_cast<double>(workers_.texts()) / seconds);
    std::string text =
        fmt::format("  {:4.1f} s   in use [{}]   waiting [{}]   {:>7} texts   {:>6} texts/s\n", seconds,
                    bar(pool.in_use, pool.max_instances), bar(std::min<int64_t>(pool.waiting, kWorkers), kWorkers),
                    with_commas(workers_.texts()), with_commas(rate));
    if (terminal_) {
      for (int i = 0; i < kWorkers; ++i) {
        text += fmt::format("           worker {}   {:<10} {:>6} leases   {:>7} texts\n", i + 1, workers_.state(i),
                            with_commas(workers_.leases(i)), with_commas(workers_.texts(i)));
      }
      if (lines_ > 0) fmt::print("\x1b[{}A", lines_);
    }
    // The figures above change with every line, these seldom.
    if (terminal_ || memory != memory_) {
      for (const std::string& line : memory) text += fmt::format("{}{}\n", line, terminal_ ? "\x1b[K" : "");
    }
    fmt::print("{}", text);
    std::fflush(stdout);
    lines_ = std::ranges::count(text, '\n');
    memory_ = memory;
  }

  // How often to draw.
  std::chrono::milliseconds interval() const { return terminal_ ? 100ms : 500ms; }

 private:
  const Workers& workers_;
  const bool terminal_ = is_terminal(STDOUT_FILENO);
  std::ptrdiff_t lines_ = 0;  // That stand there.
  std::vector<std::string> memory_;
};

// Returns the texts that were embedded and the seconds it took.
std::pair<int64_t, double> show_pool(EmbeddingModelManager& manager) {
  const Clock::time_point start = Clock::now();
  const auto seconds = [start] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  Workers workers(manager);
  Display display(workers);
  while (!interrupted() && Clock::now() - start < kDuration) {
    std::this_thread::sleep_for(display.interval());
    display.draw(manager.get_pool_stats(), memory_lines(snapshot()), seconds());
  }
  workers.stop();
  workers.rethrow_failure();
  return {workers.texts(), seconds()};
}

std::string shortened(const std::string& text, size_t width) {
  return text.size() <= width ? text : text.substr(0, width - 3) + "...";
}

void answer_queries(EmbeddingModelManager& manager) {
  constexpr size_t kShown = 2;
  const std::vector<std::string>& texts = bundled_texts();
  const std::vector<std::string>& queries = bundled_queries();
  const Embeddings known = manager.embed_texts(texts);
  const Embeddings asked = manager.embed_texts(queries);
  for (int64_t q = 0; q < asked.size(); ++q) {
    std::vector<std::pair<float, size_t>> scores;
    for (int64_t i = 0; i < known.size(); ++i) {
      const std::span<const float> a = asked.row(q);
      scores.emplace_back(std::inner_product(a.begin(), a.end(), known.row(i).begin(), 0.0F), i);
    }
    std::ranges::partial_sort(scores, scores.begin() + kShown, std::ranges::greater{});
    fmt::print("  {}\n", queries[q]);
    for (size_t i = 0; i < kShown; ++i)
      fmt::print("    {:.2f}  {}\n", scores[i].first, shortened(texts[scores[i].second], 68));
  }
}

void print_pool(const PoolStats& pool) {
  const auto row = [](const char* name, const DurationHistogram& times) {
    fmt::print("  {:<16} {:>8} {:>11} {:>11} {:>11}\n", name, with_commas(static_cast<int64_t>(times.count())),
               human_duration(times.percentile(0.5)), human_duration(times.percentile(0.99)),
               human_duration(times.max()));
  };
  fmt::print("  {:<16} {:>8} {:>11} {:>11} {:>11}\n", "", "count", "p50", "p99", "longest");
  row("wait for a lease", pool.wait_time);
  row("hold a lease", pool.use_time);
  row("make an instance", pool.create_time);
  fmt::print("  {} instances share {} of weights; {} timeouts, {} leaks.\n", pool.total,
             human_bytes(pool.memory_shared), pool.timeouts, pool.leaks);
}

void introduce(const EmbeddingModelManager& manager, double load_ms) {
  const MachineReport machine = describe_machine();
  const EmbeddingModelInfo& info = manager.info();
  fmt::print("{}\n", info.name);
  fmt::print("  {} parameters, {} dimensions, loaded in {:.0f} ms\n", with_commas(info.parameters), info.dimension,
             load_ms);
  fmt::print("  {}\n", shortened(machine.devices[0].name, 76));
  fmt::print("  {} kernels, precision {}\n\n", machine.active_instruction_set, to_string(manager.precision()));
}

struct DemoFlags {
  CommonOptions common;
  std::optional<std::string> summarization_model;
};

int demo(const DemoFlags& flags) {
  Settings settings = apply(flags.common);
  if (flags.summarization_model) settings.summarization_model = *flags.summarization_model;
  catch_interrupts();
  const Clock::time_point loading = Clock::now();
  EmbeddingModelManager manager(settings);
  manager.warm_up();
  introduce(manager, milliseconds_since(loading));

  fmt::print("{} threads lease from a pool of {} and embed {} texts a lease:\n\n", kWorkers,
             settings.model_pool_max_instances, kTextsPerLease);
  const auto [texts, seconds] = show_pool(manager);
  fmt::print("\n{} texts in {:.1f} s, {} a second. The pool in figures:\n\n", with_commas(texts), seconds,
             with_commas(static_cast<int64_t>(static_cast<double>(texts) / seconds)));
  print_pool(manager.get_pool_stats());
  if (interrupted()) return kInterrupted;

  fmt::print("\nThe sentences nearest to a question, by cosine, among {}:\n\n", bundled_texts().size());
  answer_queries(manager);
  fmt::print("\n");
  show_summaries(settings);
  if (interrupted()) return kInterrupted;
  fmt::print("\nNext: echo \"a text of yours\" | remuda summarize     All commands: remuda --help\n");
  return kSuccess;
}

}  // namespace

void add_demo(CLI::App& app, Action& action) {
  auto flags = std::make_shared<DemoFlags>();
  CLI::App& command = *app.add_subcommand("demo", "The pool at work, and what embeddings and summaries are good for");
  add_model_flag(command, flags->common);
  command
      .add_option("--summarization-model", flags->summarization_model,
                  "The same, for the summaries\n[$REMUDA_SUMMARIZATION_MODEL, or a small one of ours]")
      ->option_text("MODEL");
  add_compute_flags(command, flags->common);
  command.footer("Takes a few seconds and needs nothing but the models; Ctrl-C ends it.");
  command.callback([flags, &action] { action = [flags] { return demo(*flags); }; });
}

}  // namespace remuda::cli
