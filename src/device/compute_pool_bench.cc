// What a parallel_for costs its caller.
#include <benchmark/benchmark.h>

#include <chrono>
#include <thread>

#include "device/compute_pool.h"

namespace remuda {
namespace {

// Ranges that do nothing, one after the other: the workers spin, so this is the latency of a hand-over and back.
void hot_parallel_for(benchmark::State& state) {
  ComputePool pool(static_cast<int>(state.range(0)));
  for (auto _ : state) {
    pool.parallel_for(state.range(1), 1, [](int64_t begin, int64_t) { benchmark::DoNotOptimize(begin); });
  }
}
BENCHMARK(hot_parallel_for)->ArgNames({"threads", "ranges"})->Args({1, 2})->Args({2, 2})->Args({2, 16})->UseRealTime();

// The caller's time to publish to a parked worker and do both ranges itself, sleep not counted.
void cold_parallel_for(benchmark::State& state) {
  ComputePool pool(2);
  for (auto _ : state) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const auto start = std::chrono::steady_clock::now();
    pool.parallel_for(2, 1, [](int64_t begin, int64_t) { benchmark::DoNotOptimize(begin); });
    state.SetIterationTime(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
}
BENCHMARK(cold_parallel_for)->UseManualTime()->Iterations(300);

// Two halves of work that takes one thread `us` microseconds.
void split_work(benchmark::State& state) {
  ComputePool pool(2);
  const auto half = std::chrono::nanoseconds(state.range(0) * 500);
  for (auto _ : state) {
    pool.parallel_for(2, 1, [half](int64_t, int64_t) {
      const auto end = std::chrono::steady_clock::now() + half;
      while (std::chrono::steady_clock::now() < end) {
      }
    });
  }
}
BENCHMARK(split_work)->ArgName("us")->Arg(4)->Arg(20)->Arg(100)->UseRealTime();

}  // namespace
}  // namespace remuda
