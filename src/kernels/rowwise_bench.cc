// Attention in GFLOP/s, layer normalisation in GB/s, activations in elements/s.
#include <benchmark/benchmark.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "device/compute_pool.h"
#include "kernels/attention.h"
#include "kernels/elementwise.h"

namespace remuda::kernels {
namespace {

std::vector<float> normal_floats(int64_t n) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(n));
  for (float& value : values) value = normal(random);
  return values;
}

struct Setting {
  Isa isa;
  int threads;
  StoredAs multiplied_as = StoredAs::kFp32;
};

// Sequences of `length` tokens, about 1024 tokens of them, as columns of a fused projection.
void bench_attention(benchmark::State& state, Setting setting) {
  const int64_t length = state.range(0), head_dim = state.range(1), sequences = state.range(2);
  constexpr int64_t kHeads = 12;
  const int64_t cols = kHeads * head_dim, tokens = length * sequences;
  const std::vector<float> qkv = normal_floats(tokens * 3 * cols);
  std::vector<float> out(static_cast<size_t>(tokens * cols));
  std::vector<int64_t> offsets;
  for (int64_t i = 0; i <= sequences; ++i) offsets.push_back(i * length);
  ComputePool pool(setting.threads);
  const auto part = [&](int64_t i) { return MatrixView<const float>(qkv.data() + i * cols, tokens, cols, 3 * cols); };
  for (auto _ : state) {
    attention(part(0), part(1), part(2), offsets, {kHeads, head_dim}, 1.0f / std::sqrt(static_cast<float>(head_dim)),
              {}, setting.multiplied_as, {out.data(), tokens, cols}, pool, setting.isa);
    benchmark::ClobberMemory();
  }
  const double flops = 4.0 * static_cast<double>(length * length * sequences * cols);
  state.counters["GFLOP/s"] = benchmark::Counter(flops * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

void bench_layer_norm(benchmark::State& state, Setting setting) {
  const int64_t rows = state.range(0), cols = state.range(1);
  const std::vector<float> x = normal_floats(rows * cols), gamma = normal_floats(cols), beta = normal_floats(cols);
  std::vector<float> y(x.size());
  ComputePool pool(setting.threads);
  for (auto _ : state) {
    layer_norm({x.data(), rows, cols}, gamma.data(), beta.data(), 1e-12f, {y.data(), rows, cols}, pool, setting.isa);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * rows * cols * 8);
}

void bench_activation(benchmark::State& state, Activation activation, Isa isa) {
  std::vector<float> x = normal_floats(4096);
  const std::vector<float> original = x;
  for (auto _ : state) {
    activate(activation, x.data(), 4096, isa);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * 4096);
}

void register_attention(const std::string& name, Setting setting) {
  benchmark::RegisterBenchmark(name.c_str(), bench_attention, setting)
      ->ArgNames({"tokens", "head_dim", "sequences"})
      ->Args({12, 32, 1})
      ->Args({12, 32, 64})
      ->Args({80, 32, 12})
      ->Args({256, 32, 4})
      ->Args({512, 32, 2})
      ->Args({12, 64, 64})
      ->Args({80, 64, 12})
      ->Args({256, 64, 4})
      ->UseRealTime();
}

const int registered = [] {
  for (const Isa isa : available_isas()) {
    const std::string name(to_string(isa));
    for (const int threads : {1, 2}) {
      const std::string suffix = "/" + name + "/threads:" + std::to_string(threads);
      if (isa == Isa::kAvx512Bf16) {
        register_attention("attention_rounded" + suffix, {isa, threads, StoredAs::kBf16});
      }
      if (isa > Isa::kAvx512) continue;  // The same kernels from there on.
      register_attention("attention" + suffix, {isa, threads});
      benchmark::RegisterBenchmark(("layer_norm" + suffix).c_str(), bench_layer_norm, Setting{isa, threads})
          ->ArgNames({"rows", "cols"})
          ->Args({12, 384})
          ->Args({1024, 384})
          ->UseRealTime();
    }
    if (isa > Isa::kAvx512) continue;
    benchmark::RegisterBenchmark(("gelu/" + name).c_str(), bench_activation, Activation::kGelu, isa);
    benchmark::RegisterBenchmark(("gelu_tanh/" + name).c_str(), bench_activation, Activation::kGeluTanh, isa);
    benchmark::RegisterBenchmark(("tanh/" + name).c_str(), bench_activation, Activation::kTanh, isa);
  }
  return 0;
}();

}  // namespace
}  // namespace remuda::kernels
