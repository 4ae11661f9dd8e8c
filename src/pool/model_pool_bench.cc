// What a lease costs, alone and with more threads than instances.
#include <benchmark/benchmark.h>

#include "remuda/model_pool.h"

namespace remuda {
namespace {

ModelPool<ModelInstance>& shared_pool() {
  static ModelPool<ModelInstance> pool({.max_instances = 2},
                                       [] { return std::make_unique<ModelInstance>(ModelMetadata{}); });
  return pool;
}

// With one or two threads nobody waits for an instance; with more they queue for two.
void acquire_and_release(benchmark::State& state) {
  ModelPool<ModelInstance>& pool = shared_pool();
  for (auto _ : state) {
    const Lease<ModelInstance> lease = pool.acquire();
    benchmark::DoNotOptimize(lease.get());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(acquire_and_release)->Threads(1)->Threads(2)->Threads(8)->UseRealTime();

void read_statistics(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(shared_pool().get_pool_stats());
}
BENCHMARK(read_statistics);

}  // namespace
}  // namespace remuda
