// The products of all-MiniLM-L6-v2, in each precision: multiply-adds a second (counted as two operations).
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

BENCHMARK_CAPTURE(multiply, fp32, Precision::kFp32)->Apply(minilm_shapes);
BENCHMARK_CAPTURE(multiply, bf16, Precision::kBf16)->Apply(minilm_shapes);
BENCHMARK_CAPTURE(multiply, int8, Precision::kInt8)->Apply(minilm_shapes);

}  // namespace
}  // namespace remuda::kernels
