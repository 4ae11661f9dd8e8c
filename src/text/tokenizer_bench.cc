// Tokenizing real text on one thread and back, and loading a tokenizer. bench/tokenizer.py sets the two variables, and
// runs Hugging Face's library over the same texts.
//   REMUDA_BENCH_MODEL  a directory with a tokenizer.json
//   REMUDA_BENCH_TEXTS  a file with a text a line
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace remuda::text {
namespace {

const char* variable(benchmark::State& state, const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) state.SkipWithError((std::string(name) + " is not set").c_str());
  return value;
}

std::vector<std::string> read_lines(const char* path) {
  std::vector<std::string> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

int64_t bytes_of(const std::vector<std::string>& lines) {
  int64_t bytes = 0;
  for (const std::string& line : lines) bytes += std::ssize(line);
  return bytes;
}

void encode_lines(benchmark::State& state) {
  const char* model = variable(state, "REMUDA_BENCH_MODEL");
  const char* path = variable(state, "REMUDA_BENCH_TEXTS");
  if (model == nullptr || path == nullptr) return;
  const Tokenizer tokenizer = Tokenizer::load(model);
  const std::vector<std::string> lines = read_lines(path);
  Encoding encoding;
  int64_t tokens = 0;
  for (auto _ : state) {
    for (const std::string& line : lines) {
      tokenizer.encode(line, {}, encoding);
      tokens += std::ssize(encoding.ids);
    }
  }
  state.SetItemsProcessed(state.iterations() * std::ssize(lines));
  state.SetBytesProcessed(state.iterations() * bytes_of(lines));
  state.counters["tokens_per_second"] = benchmark::Counter(static_cast<double>(tokens), benchmark::Counter::kIsRate);
}
BENCHMARK(encode_lines)->Unit(benchmark::kMillisecond);

void decode_lines(benchmark::State& state) {
  const char* model = variable(state, "REMUDA_BENCH_MODEL");
  const char* path = variable(state, "REMUDA_BENCH_TEXTS");
  if (model == nullptr || path == nullptr) return;
  const Tokenizer tokenizer = Tokenizer::load(model);
  std::vector<std::vector<int32_t>> encoded;
  for (const std::string& line : read_lines(path)) encoded.push_back(tokenizer.encode(line).ids);
  int64_t bytes = 0;
  for (auto _ : state) {
    for (const auto& ids : encoded) {
      bytes += std::ssize(tokenizer.decode(ids, {.skip_special_tokens = true, .clean_up_tokenization_spaces = {}}));
    }
  }
  state.SetItemsProcessed(state.iterations() * std::ssize(encoded));
  state.SetBytesProcessed(bytes);
}
BENCHMARK(decode_lines)->Unit(benchmark::kMillisecond);

void load(benchmark::State& state) {
  const char* model = variable(state, "REMUDA_BENCH_MODEL");
  if (model == nullptr) return;
  for (auto _ : state) benchmark::DoNotOptimize(Tokenizer::load(model).bytes());
}
BENCHMARK(load)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace remuda::text
