#include "manager/summarization_benchmark.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

#include "base/fail.h"
#include "base/seconds_since.h"
#include "manager/summarization_model.h"
#include "models/bart_batch.h"
#include "models/bart_directory.h"

namespace remuda {
namespace {

using Clock = std::chrono::steady_clock;

// Summaries of exactly this length, by plain beam search.
GenerationOptions generation_of(const SummarizationBenchmarkOptions& options) {
  GenerationOptions generation;
  generation.num_beams = options.num_beams;
  generation.num_return_sequences = 1;
  generation.do_sample = false;
  generation.max_new_tokens = generation.min_new_tokens = options.output_tokens;
  return generation;
}

class Benchmark {
 public:
  Benchmark(const models::BartModel& bart, std::shared_ptr<const GenerationPlan> plan,
            const SummarizationBenchmarkOptions& options)
      : bart_(bart), plan_(std::move(plan)), options_(options) {}

  // Tokens a second.
  double encode() const {
    std::vector<int32_t> ids;
    std::vector<int64_t> offsets = {0};
    for (int64_t i = 0; i < options_.documents; ++i) {
      std::ranges::copy(document(i), std::back_inserter(ids));
      offsets.push_back(std::ssize(ids));
    }
    const std::vector limits(static_cast<size_t>(options_.documents),
                             models::DecodeLimits{options_.num_beams, options_.output_tokens});
    const std::unique_ptr<models::BartEngine> engine = bart_.make_engine();
    const auto run = [&] { engine->encode({ids, offsets}, limits); };
    run();
    int64_t rounds = 0;
    const Clock::time_point start = Clock::now();
    while (more(rounds, start)) {
      run();
      ++rounds;
    }
    return static_cast<double>(rounds * std::ssize(ids)) / seconds_since(start);
  }

  struct Decoding {
    double step_ms = 0;
    std::vector<double> seconds;  // Of each round, encoding included.
  };

  // Rounds of so many documents at once, from ids to ids.
  Decoding decode(int64_t documents) const {
    Decoding result;
    double step_seconds = 0;
    int64_t steps = 0;
    summarize(documents, step_seconds, steps);
    step_seconds = 0;
    steps = 0;
    const Clock::time_point start = Clock::now();
    while (more(std::ssize(result.seconds), start)) {
      const Clock::time_point round = Clock::now();
      summarize(documents, step_seconds, steps);
      result.seconds.push_back(seconds_since(round));
    }
    if (steps > 0) result.step_ms = step_seconds / static_cast<double>(steps) * 1e3;
    return result;
  }

 private:
  bool more(int64_t rounds, Clock::time_point start) const {
    constexpr int64_t kFewestRounds = 3;
    if (options_.cancelled && options_.cancelled()) fail(ErrorCode::kCancelled, "the benchmark was cancelled");
    return rounds < kFewestRounds || seconds_since(start) < options_.seconds;
  }

  // Ids all over the vocabulary.
  std::vector<int32_t> document(int64_t number) const {
    std::vector<int32_t> ids(static_cast<size_t>(options_.input_tokens));
    for (size_t i = 0; i < ids.size(); ++i) {
      ids[i] = static_cast<int32_t>((static_cast<int64_t>(i) + number * 131) * 7919 % plan_->vocabulary);
    }
    return ids;
  }

  // Adds the time of the steps but the first, which encodes and has one row a document, and their number.
  void summarize(int64_t documents, double& step_seconds, int64_t& steps) const {
    models::BartBatch batch(bart_.make_engine(), {.max_tokens = INT64_MAX});
    for (int64_t i = 0; i < documents; ++i) batch.add(document(i), plan_);
    const auto step = [&batch] {
      for (const int64_t number : batch.step()) {
        if (batch.error(number) != nullptr) std::rethrow_exception(batch.error(number));
      }
    };
    step();
    const Clock::time_point start = Clock::now();
    for (; !batch.finished(); ++steps) step();
    step_seconds += seconds_since(start);
  }

  const models::BartModel& bart_;
  const std::shared_ptr<const GenerationPlan> plan_;
  const SummarizationBenchmarkOptions& options_;
};

}  // namespace

SummarizationBenchmark benchmark_summarization(SummarizationModelManager& manager,
                                               const SummarizationBenchmarkOptions& options) {
  SummarizationBenchmark report{.options = options};
  SummarizationBenchmarkOptions& used = report.options;
  used.input_tokens = std::min(options.input_tokens, manager.info().window);
  if (used.documents < 1 || used.input_tokens < 1) {
    fail(ErrorCode::kInvalidArgument, "expected at least 1 document of at least 1 token, found {} of {}",
         used.documents, used.input_tokens);
  }
  const models::BartDirectory directory = models::read_bart_directory(manager.info().directory);
  if (used.output_tokens > directory.config.max_position_embeddings) {
    fail(ErrorCode::kInvalidArgument, "max_new_tokens: expected at most {}, the decoder's positions, found {}",
         directory.config.max_position_embeddings, used.output_tokens);
  }
  const auto plan = models::make_plan(directory, generation_of(used));
  const Lease<SummarizationInstance> lease = manager.acquire({.label = "benchmark"});
  const Benchmark benchmark(*lease->model().bart, plan, used);

  report.encode_tokens_per_s = benchmark.encode();
  const Benchmark::Decoding together = benchmark.decode(used.documents);
  report.step_ms = together.step_ms;
  double seconds = 0;
  for (const double round : together.seconds) seconds += round;
  report.documents_per_s = static_cast<double>(used.documents * std::ssize(together.seconds)) / seconds;

  std::vector<double> single = used.documents == 1 ? together.seconds : benchmark.decode(1).seconds;
  std::ranges::sort(single);
  const auto at = [&single](double share) {
    return single[static_cast<size_t>(share * static_cast<double>(single.size() - 1))] * 1e3;
  };
  report.single_p50_ms = at(0.5);
  report.single_p99_ms = at(0.99);
  return report;
}

}  // namespace remuda
