// BART of bart-large-cnn's exact shape (406 M parameters, random weights, made in a temporary directory of 0.8 GB):
// load, encoding of documents of 512 tokens, and a decode step in the middle of 40 tokens of output, 4 beams a
// document.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/scratch_directory.h"
#include "models/bart.h"
#include "models/random_bart_weights.h"

namespace remuda::models {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kDocumentTokens = 512;
constexpr int64_t kOutputTokens = 40;
constexpr int64_t kBeams = 4;

io::BartConfig large_cnn() {
  io::BartConfig config;
  config.vocab_size = 50264;
  config.d_model = 1024;
  config.encoder_layers = config.decoder_layers = 12;
  config.encoder_attention_heads = config.decoder_attention_heads = 16;
  config.encoder_ffn_dim = config.decoder_ffn_dim = 4096;
  config.max_position_embeddings = 1024;
  return config;
}

// A model.safetensors in bf16, removed at exit.
class RandomCheckpoint {
 public:
  explicit RandomCheckpoint(const io::BartConfig& config) {
    write_random_weights(scratch_.path(), random_bart_tensors(config), 1, RandomType::kBf16);
  }

  const fs::path& path() const { return scratch_.path(); }

 private:
  const ScratchDirectory scratch_;
};

const RandomCheckpoint& checkpoint() {
  static const RandomCheckpoint made(large_cnn());
  return made;
}

// One at a time: a model in each precision would be 3 GB.
const Bart& model(Precision precision, bool again = false) {
  static std::unique_ptr<const Bart> loaded;
  static Precision of = Precision::kFp32;
  if (again || loaded == nullptr || of != precision) {
    loaded.reset();
    loaded = std::make_unique<const Bart>(
        large_cnn(), std::make_shared<const io::Checkpoint>(io::Checkpoint::open(checkpoint().path())), precision,
        ComputePool::global());
    of = precision;
  }
  return *loaded;
}

std::vector<BartDocument> encode(const Bart& bart, int64_t count) {
  std::vector<int32_t> ids;
  std::vector<int64_t> offsets = {0};
  for (int64_t i = 0; i < count * kDocumentTokens; ++i) ids.push_back(static_cast<int32_t>(i * 7919 % 50000));
  for (int64_t i = 0; i < count; ++i) offsets.push_back(offsets.back() + kDocumentTokens);
  const std::vector limits(static_cast<size_t>(count), DecodeLimits{kBeams, kOutputTokens});
  return bart.encode({ids, offsets}, limits, WorkspaceArena::global(), ComputePool::global());
}

void load(benchmark::State& state, Precision precision) {
  model(precision);  // The file is in memory.
  for (auto _ : state) state.counters["MB"] = static_cast<double>(model(precision, true).bytes()) / 1e6;
}

// From a file of packed weights, up to the first step: what a process does where another was before it.
void load_packed(benchmark::State& state, Precision precision) {
  ComputePool& pool = ComputePool::global();
  const fs::path path = checkpoint().path() / fmt::format("{}.packed", to_string(precision));
  const auto loaded = [&](std::shared_ptr<io::PackedFile> packed) {
    return Bart(large_cnn(), std::make_shared<const io::Checkpoint>(io::Checkpoint::open(checkpoint().path())),
                precision, pool, std::move(packed));
  };
  {
    const auto packed = io::PackedFile::create(path, "bench");
    loaded(packed);
    packed->commit();
  }
  for (auto _ : state) {
    const auto packed = io::PackedFile::open(path, "bench");
    pool.parallel_for(packed->blocks(), 4, [&](int64_t begin, int64_t end) { packed->check_blocks(begin, end); });
    benchmark::DoNotOptimize(loaded(packed).bytes());
  }
  state.counters["MB"] = static_cast<double>(fs::file_size(path)) / 1e6;
}

void encode_documents(benchmark::State& state, Precision precision) {
  const Bart& bart = model(precision);
  const int64_t count = state.range(0);
  for (auto _ : state) benchmark::DoNotOptimize(encode(bart, count));
  state.counters["tokens/s"] =
      benchmark::Counter(static_cast<double>(count * kDocumentTokens), benchmark::Counter::kIsIterationInvariantRate);
}

// Every iteration decodes kOutputTokens steps with beams that swap places; reported is the mean step.
void decode(benchmark::State& state, Precision precision) {
  const Bart& bart = model(precision);
  const int64_t count = state.range(0);
  FloatTensor logits({count * kBeams, bart.config().vocab_size});
  for (auto _ : state) {
    state.PauseTiming();
    std::vector<BartDocument> documents = encode(bart, count);
    state.ResumeTiming();
    for (int64_t t = 0; t < kOutputTokens; ++t) {
      std::vector<DecodeRow> rows;
      for (BartDocument& document : documents) {
        for (int64_t beam = 0; beam < kBeams; ++beam) {
          const int64_t parent = t == 0 ? -1 : (beam + t % 2) % kBeams;
          rows.push_back({&document, static_cast<int32_t>(t * 31 + beam), static_cast<int32_t>(parent)});
        }
      }
      bart.decode_step(rows, {logits.data(), count * kBeams, bart.config().vocab_size}, WorkspaceArena::global(),
                       ComputePool::global());
    }
  }
  state.counters["s/step"] = benchmark::Counter(
      static_cast<double>(kOutputTokens), benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void add_benchmarks(const char* name, Precision precision) {
  const auto add = [&](const char* what, auto* function) {
    return benchmark::RegisterBenchmark(fmt::format("{}/{}", name, what).c_str(), function, precision)
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
  };
  add("load", load)->Iterations(1);
  add("load packed", load_packed);
  add("encode", encode_documents)->ArgName("documents")->Arg(1)->Arg(8);
  add("decode", decode)->ArgName("documents")->Arg(1)->Arg(8);
}

const bool kAdded = [] {
  add_benchmarks("int8", Precision::kInt8);
  add_benchmarks("bf16", Precision::kBf16);
  add_benchmarks("fp32", Precision::kFp32);
  return true;
}();

}  // namespace
}  // namespace remuda::models
