// A step of a search over a vocabulary of BART's size: log-softmax, rules, choice, bookkeeping; all but the model.
#include <benchmark/benchmark.h>

#include <memory>
#include <random>
#include <vector>

#include "generation/search.h"

namespace remuda {
namespace {

constexpr int64_t kVocabulary = 50265;
constexpr int64_t kMaxLength = 142;

enum class Kind { kGreedy, kBeams, kBeamsWithRules, kSampleTop50, kSampleAll };

GenerationPlan plan_of(Kind kind, int64_t num_beams) {
  GenerationOptions options;
  options.decoder_start_token_id = 2;
  options.eos_token_id = TokenIds{2};
  options.num_beams = num_beams;
  options.max_length = kMaxLength;
  options.min_length = kMaxLength;  // No search ends before its time.
  options.early_stopping = EarlyStopping::kTrue;
  if (kind == Kind::kBeamsWithRules) {
    options.no_repeat_ngram_size = 3;
    options.encoder_no_repeat_ngram_size = 4;
    options.repetition_penalty = 1.1;
    options.bad_words_ids = std::vector<TokenIds>(50, TokenIds{7, 8, 9});
    options.forced_bos_token_id = 0;
    options.forced_eos_token_id = TokenIds{2};
  }
  if (kind == Kind::kSampleTop50 || kind == Kind::kSampleAll) {
    options.do_sample = true;
    options.top_k = kind == Kind::kSampleTop50 ? 50 : 0;
    options.top_p = kind == Kind::kSampleTop50 ? 0.95 : 1.0;
  }
  return resolve(options, {.vocabulary = kVocabulary, .max_positions = 1024});
}

// Mean time of a step over whole documents of 1,024 input tokens.
void bench_step(benchmark::State& state, Kind kind) {
  const int64_t num_beams = state.range(0);
  const auto plan = std::make_shared<GenerationPlan>(plan_of(kind, num_beams));
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0f, 3.0f);
  // Several steps' logits, so that they are not all the same; as many as a cache holds, as behind a model.
  constexpr int64_t kSteps = 3;
  std::vector<float> logits(static_cast<size_t>(kSteps * num_beams * kVocabulary));
  for (float& logit : logits) logit = normal(random);
  TokenIds encoder_ids(1024);
  for (int32_t& id : encoder_ids) id = static_cast<int32_t>(random() % kVocabulary);

  int64_t steps = 0;
  std::unique_ptr<Search> search;
  for (auto _ : state) {
    if (search == nullptr || search->finished()) search = make_search(plan, encoder_ids);
    const auto rows = static_cast<int64_t>(search->rows().size());
    const float* of_step = logits.data() + steps++ % kSteps * num_beams * kVocabulary;
    search->advance(MatrixView<const float>(of_step, rows, kVocabulary));
  }
  state.SetItemsProcessed(state.iterations());
}

// The same where the best tokens of each row were found elsewhere.
void bench_ranked_step(benchmark::State& state, Kind kind) {
  const int64_t num_beams = state.range(0);
  const auto plan = std::make_shared<GenerationPlan>(plan_of(kind, num_beams));
  std::mt19937 random(1);
  std::uniform_real_distribution<float> jitter(0.0f, 0.9f);  // Equals are not enough to go on with.
  TokenIds encoder_ids(1024);
  for (int32_t& id : encoder_ids) id = static_cast<int32_t>(random() % kVocabulary);

  int64_t steps = 0, refused = 0;
  std::unique_ptr<Search> search;
  std::vector<Candidate> best;
  std::vector<RankedRow> ranked;
  for (auto _ : state) {
    if (search == nullptr || search->finished()) search = make_search(plan, encoder_ids);
    const RankingRequest request = search->ranking().value();
    const size_t rows = search->rows().size(), k = static_cast<size_t>(request.k);
    best.clear();
    ranked.clear();
    ++steps;
    for (size_t i = 0; i < rows * k; ++i) {
      const float score = -1.0f - static_cast<float>(i % k) - jitter(random);
      best.push_back({score, static_cast<int64_t>(3 + i + static_cast<size_t>(steps % 50) * 997)});
    }
    for (size_t row = 0; row < rows; ++row) ranked.push_back({std::span(best).subspan(row * k, k)});
    if (search->advance(ranked)) continue;
    refused += 1;
    search.reset();
  }
  state.SetItemsProcessed(state.iterations());
  state.counters["refused"] = static_cast<double>(refused);
}

BENCHMARK_CAPTURE(bench_step, greedy, Kind::kGreedy)->Arg(1)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(bench_step, sample_top_50, Kind::kSampleTop50)->Arg(1)->Arg(4)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(bench_step, sample_all, Kind::kSampleAll)->Arg(1)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(bench_step, beams, Kind::kBeams)->Arg(2)->Arg(4)->Arg(8)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(bench_step, beams_with_rules, Kind::kBeamsWithRules)->Arg(4)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(bench_ranked_step, beams, Kind::kBeams)->Arg(4)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(bench_ranked_step, beams_with_rules, Kind::kBeamsWithRules)->Arg(4)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace remuda
