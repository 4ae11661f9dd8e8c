#include "manager/managed_pool.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "device/devices.h"

namespace remuda {
namespace {

// The pools that this thread looks at, one in the other.
thread_local std::vector<const ManagedPool*> looking;

// Those of all managers.
struct Registered {
  std::mutex mutex;
  std::vector<std::weak_ptr<ManagedPool>> pools;  // Guarded by mutex.
};

Registered& registered() {
  static auto* const all = [] {
    on_lost_device([](const std::string& device) {
      std::vector<std::shared_ptr<ManagedPool>> pools;
      {
        const std::lock_guard lock(registered().mutex);
        for (const auto& weak : registered().pools) {
          if (std::shared_ptr<ManagedPool> pool = weak.lock()) pools.push_back(std::move(pool));
        }
      }
      for (const auto& pool : pools) pool->lose_device(device);
    });
    return new Registered;
  }();
  return *all;
}

}  // namespace

PoolRegistration::PoolRegistration(const Settings& settings, PoolControl control)
    : pool_(std::make_shared<ManagedPool>(settings.pinned, std::move(control))) {
  const std::lock_guard lock(registered().mutex);
  std::erase_if(registered().pools, [](const auto& other) { return other.expired(); });
  registered().pools.push_back(pool_);
}

PoolRegistration::~PoolRegistration() { pool_->detach(); }

// A call of the pool's control, which keeps other threads from taking the pool away.
class ManagedPool::Look {
 public:
  explicit Look(const ManagedPool& pool) : pool_(pool) {
    const std::lock_guard lock(pool_.mutex_);
    if (pool_.is_gone_) return;
    looking.push_back(&pool_);
    ++pool_.looks_;
    control_ = &pool_.control_;
  }
  ~Look() {
    if (control_ == nullptr) return;
    looking.pop_back();
    const std::lock_guard lock(pool_.mutex_);
    --pool_.looks_;
    pool_.looked_.notify_all();
  }
  Look(const Look&) = delete;
  Look& operator=(const Look&) = delete;

  // Null where the pool is gone.
  const PoolControl* control() const { return control_; }

 private:
  const ManagedPool& pool_;
  const PoolControl* control_ = nullptr;
};

std::optional<PoolStats> ManagedPool::stats() const {
  const Look look(*this);
  if (look.control() == nullptr) return std::nullopt;
  return look.control()->stats();
}

bool ManagedPool::is_in_use() const {
  const std::optional<PoolStats> found = stats();
  return found && found->in_use + found->creating > 0;
}

std::optional<ManagedPool::Clock::time_point> ManagedPool::least_recent_use() const {
  const Look look(*this);
  return look.control() != nullptr ? look.control()->least_recent_use() : std::nullopt;
}

bool ManagedPool::evict_idle(Clock::time_point not_used_since) {
  const Look look(*this);
  return look.control() != nullptr && look.control()->evict_idle(not_used_since);
}

void ManagedPool::cleanup() {
  const Look look(*this);
  if (look.control() != nullptr) look.control()->cleanup();
}

int64_t ManagedPool::evict_idle_on(const std::string& device) {
  const Look look(*this);
  return look.control() != nullptr && look.control()->evict_idle_on ? look.control()->evict_idle_on(device) : 0;
}

int64_t ManagedPool::lose_device(const std::string& device) {
  const Look look(*this);
  return look.control() != nullptr && look.control()->lose_device ? look.control()->lose_device(device) : 0;
}

void ManagedPool::detach() {
  std::unique_lock lock(mutex_);
  is_gone_ = true;
  // Where this is what a call of the thread's own came to, it goes on afterwards.
  const auto own = std::ranges::count(looking, this);
  looked_.wait(lock, [&] { return looks_ == own; });
}

}  // namespace remuda
