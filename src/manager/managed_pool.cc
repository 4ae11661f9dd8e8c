#include "manager/managed_pool.h"

#include <utility>

namespace remuda {
namespace {

struct Registry {
  std::mutex mutex;
  std::vector<std::weak_ptr<ManagedPool>> pools;  // Guarded by mutex; in the order of their making.
};

Registry& registry() {
  static auto* const all = new Registry;
  return *all;
}

}  // namespace

PoolRegistration::PoolRegistration(const Settings& settings, PoolControl control)
    : pool_(std::make_shared<ManagedPool>(settings.pinned, std::move(control))) {
  const std::lock_guard lock(registry().mutex);
  std::erase_if(registry().pools, [](const auto& other) { return other.expired(); });
  registry().pools.push_back(pool_);
}

PoolRegistration::~PoolRegistration() { pool_->detach(); }

std::vector<std::shared_ptr<ManagedPool>> ManagedPool::all() {
  std::vector<std::shared_ptr<ManagedPool>> found;
  const std::lock_guard lock(registry().mutex);
  std::erase_if(registry().pools, [&found](const std::weak_ptr<ManagedPool>& weak) {
    std::shared_ptr<ManagedPool> pool = weak.lock();
    if (pool == nullptr) return true;
    found.push_back(std::move(pool));
    return false;
  });
  return found;
}

std::optional<PoolStats> ManagedPool::stats() const {
  const std::lock_guard lock(mutex_);
  if (!control_.stats) return std::nullopt;
  return control_.stats();
}

bool ManagedPool::is_in_use() const {
  const std::optional<PoolStats> found = stats();
  return found && found->in_use + found->creating > 0;
}

std::optional<ManagedPool::Clock::time_point> ManagedPool::least_recent_use() const {
  const std::lock_guard lock(mutex_);
  return control_.least_recent_use ? control_.least_recent_use() : std::nullopt;
}

bool ManagedPool::evict_idle(Clock::time_point not_used_since) {
  const std::lock_guard lock(mutex_);
  return control_.evict_idle && control_.evict_idle(not_used_since);
}

void ManagedPool::cleanup() {
  const std::lock_guard lock(mutex_);
  if (control_.cleanup) control_.cleanup();
}

void ManagedPool::detach() {
  const std::lock_guard lock(mutex_);
  control_ = {};
}

}  // namespace remuda
