#include "remuda/pool_snapshot.h"

#include <mutex>
#include <utility>

#include "base/fork_generation.h"
#include "pool/pool_core.h"

namespace remuda {
namespace {

struct Listed {
  const PoolCore* key;
  std::weak_ptr<PoolCore> pool;
};

struct Pools {
  std::mutex mutex;
  std::vector<Listed> pools;  // Guarded by mutex.
};

Pools& pools_of_this_process() {
  static constinit PerProcess<Pools> pools;
  return pools.get();
}

}  // namespace

void enlist(const std::shared_ptr<PoolCore>& pool) {
  Pools& all = pools_of_this_process();
  const std::lock_guard lock(all.mutex);
  all.pools.push_back({pool.get(), pool});
}

void strike_off(const PoolCore* pool) {
  Pools& all = pools_of_this_process();
  const std::lock_guard lock(all.mutex);
  std::erase_if(all.pools, [pool](const Listed& listed) { return listed.key == pool; });
}

std::vector<PoolStats> snapshot_pools() {
  std::vector<std::shared_ptr<PoolCore>> pools;
  {
    Pools& all = pools_of_this_process();
    const std::lock_guard lock(all.mutex);
    for (const Listed& listed : all.pools) {
      if (std::shared_ptr<PoolCore> pool = listed.pool.lock()) pools.push_back(std::move(pool));
    }
  }
  std::vector<PoolStats> snapshot;
  for (const std::shared_ptr<PoolCore>& pool : pools) snapshot.push_back(pool->get_pool_stats());
  return snapshot;
}

}  // namespace remuda
