#include "manager/managed_pool.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace remuda {
namespace {

// The pools that this thread looks at, one in the other.
thread_local std::vector<const ManagedPool*> looking;

}  // namespace

PoolRegistration::PoolRegistration(const Settings& settings, PoolControl control)
    : pool_(std::make_shared<ManagedPool>(settings.pinned, std::move(control))) {}

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

void ManagedPool::detach() {
  std::unique_lock lock(mutex_);
  is_gone_ = true;
  // Where this is what a call of the thread's own came to, it goes on afterwards.
  const auto own = std::ranges::count(looking, this);
  looked_.wait(lock, [&] { return looks_ == own; });
}

}  // namespace remuda
