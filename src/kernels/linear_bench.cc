// The products of all-MiniLM-L6-v2 and of bart-large's encoder, in each precision: multiply-adds a second (counted as
// two operations). Those of a decoder's step over few rows, which are bound by memory: bytes of weights a second.
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "kernels/linear.h"

namespace remuda::kernels {
namespace {

void multiply(benchmark::State& state, Precision precision) {
  const int64_t rows = state.range(0);
  const int64_t out = state.range(1);
  const int64_t in = state.range(2);
  ComputePool pool(static_cast<int>(state.range(3)));
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  FloatTensor weight({out, in});
  FloatTensor bias({out});
  FloatTensor x({rows, in});
  FloatTensor y({rows, out});
  for (FloatTensor* tensor : {&weight, &bias, &x}) {
    for (int64_t i = 0; i < tensor->size(); ++i) tensor->data()[i] = normal(random);
  }
  const TensorView view{DType::kF32, weight.shape(), reinterpret_cast<const std::byte*>(weight.data())};
  const PackedWeights packed({view}, precision, pool);
  for (auto _ : state) {
    linear({x.data(), rows, in}, packed, {.bias = bias.data()}, {y.data(), rows, out}, pool);
    benchmark::DoNotOptimize(y.data());
  }
  state.counters["op/s"] =
      benchmark::Counter(2.0 * static_cast<double>(rows * out * in), benchmark::Counter::kIsIterationInvariantRate);
}

void minilm_shapes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"rows", "out", "in", "threads"})->UseRealTime();
  for (const int threads : {1, 2}) {
    for (const int rows : {12, 80, 512}) {
      for (const auto& [out, in] : {std::pair(1152, 384), {384, 384}, {1536, 384}, {384, 1536}}) {
        benchmark->Args({rows, out, in, threads});
      }
    }
  }
}

void bart_encoder_shapes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"rows", "out", "in", "threads"})->UseRealTime();
  for (const auto& [out, in] : {std::pair(1024, 1024), {3072, 1024}, {4096, 1024}, {1024, 4096}}) {
    benchmark->Args({512, out, in, 2});
  }
}

// Copies of the weights that no cache holds together, one after the other, as the layers of a model follow each other.
void stream(benchmark::State& state, Precision precision) {
  constexpr size_t kStreamedBytes = size_t{512} << 20;
  const int64_t rows = state.range(0);
  const int64_t out = state.range(1);
  const int64_t in = state.range(2);
  ComputePool pool(static_cast<int>(state.range(3)));
  FloatTensor weight({out, in});
  FloatTensor x({rows, in});
  FloatTensor y({rows, out});
  for (FloatTensor* tensor : {&weight, &x}) {
    for (int64_t i = 0; i < tensor->size(); ++i) tensor->data()[i] = static_cast<float>(i % 251) - 125.0f;
  }
  const TensorView view{DType::kF32, weight.shape(), reinterpret_cast<const std::byte*>(weight.data())};
  std::vector<PackedWeights> copies;
  do {
    copies.emplace_back(std::vector{view}, precision, pool);
  } while (copies.size() * copies.front().bytes() < kStreamedBytes);
  size_t next = 0;
  for (auto _ : state) {
    linear({x.data(), rows, in}, copies[next], {}, {y.data(), rows, out}, pool);
    benchmark::DoNotOptimize(y.data());
    next = (next + 1) % copies.size();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(copies.front().bytes()));
}

void decoder_shapes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"rows", "out", "in", "threads"})->UseRealTime();
  for (const int rows : {1, 4, 8, 32}) {
    for (const auto& [out, in] : {std::pair(1024, 1024), {3072, 1024}, {4096, 1024}, {1024, 4096}, {50265, 1024}}) {
      benchmark->Args({rows, out, in, 2});
    }
  }
}

BENCHMARK_CAPTURE(stream, fp32, Precision::kFp32)->Apply(decoder_shapes);
BENCHMARK_CAPTURE(stream, bf16, Precision::kBf16)->Apply(decoder_shapes);
BENCHMARK_CAPTURE(stream, int8, Precision::kInt8)->Apply(decoder_shapes);
BENCHMARK_CAPTURE(multiply, fp32, Precision::kFp32)->Apply(minilm_shapes)->Apply(bart_encoder_shapes);
BENCHMARK_CAPTURE(multiply, bf16, Precision::kBf16)->Apply(minilm_shapes)->Apply(bart_encoder_shapes);
BENCHMARK_CAPTURE(multiply, int8, Precision::kInt8)->Apply(minilm_shapes)->Apply(bart_encoder_shapes);

}  // namespace
}  // namespace remuda::kernels
