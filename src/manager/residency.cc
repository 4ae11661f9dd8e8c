#include "manager/residency.h"

#include <malloc.h>

#include <algorithm>
#include <utility>

#include "device/devices.h"

namespace remuda {
namespace {

struct Registry {
  std::mutex mutex;
  std::vector<std::weak_ptr<Residency>> residencies;  // Guarded by mutex; in the order of loading.
};

Registry& registry() {
  static auto* const all = new Registry;
  return *all;
}

}  // namespace

std::vector<std::shared_ptr<Residency>> Residency::all() {
  std::vector<std::shared_ptr<Residency>> found;
  const std::lock_guard lock(registry().mutex);
  std::erase_if(registry().residencies, [&found](const std::weak_ptr<Residency>& weak) {
    std::shared_ptr<Residency> residency = weak.lock();
    if (residency == nullptr) return true;
    found.push_back(std::move(residency));
    return false;
  });
  return found;
}

Residency::Residency(const WeightRequest& request)
    : key_(request.key),
      what_(request.what),
      budget_(request.budget),
      weights_(budget_->reserve({.bytes = request.cost.shared_weights + request.cost.loading,
                                 .use = MemoryUse::kWeights,
                                 .what = what_,
                                 .workspace = request.cost.workspace})) {}

void Residency::begin(const std::shared_ptr<Residency>& residency, uint64_t bytes, uint64_t mapped,
                      std::chrono::nanoseconds load_time) {
  {
    const std::lock_guard lock(residency->mutex_);
    residency->weights_.set_bytes(bytes);
    residency->mapped_ = residency->weights_.split(std::min(mapped, bytes), MemoryUse::kMappedWeights);
    residency->loaded_at_ = Clock::now();
    residency->load_time_ = load_time;
  }
  {
    const std::lock_guard lock(registry().mutex);
    // Those that are gone keep their memory as long as they are named here.
    std::erase_if(registry().residencies, [](const auto& other) { return other.expired(); });
    registry().residencies.push_back(residency);
  }
  residency->budget_->add_holder(residency);
  residency->budget_->report(residency->event(MemoryEvent::Kind::kLoaded, load_time));
}

void Residency::end() {
#if defined(__GLIBC__)
  // Of the many small pieces of a tokenizer, the C library keeps what they lay in, scattered over its arenas.
  malloc_trim(0);
#endif
  const MemoryEvent unloaded = event(MemoryEvent::Kind::kUnloaded, Clock::now() - loaded_at_);
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    mapped_.release();
    weights_.release();
  }
  changed_.notify_all();
  // A GPU's weights are back in its arena, where no other process can have them.
  if (budget_->device() != kCpuDevice) budget_->empty_caches();
  budget_->report(unloaded);
}

void Residency::add_user(const std::shared_ptr<ManagedPool>& pool) {
  if (pool == nullptr) return;
  const std::lock_guard lock(mutex_);
  std::erase_if(users_, [](const std::weak_ptr<ManagedPool>& user) { return user.expired(); });
  const bool is_known = std::ranges::any_of(users_, [&pool](const auto& user) { return user.lock() == pool; });
  if (!is_known) users_.push_back(pool);
}

std::vector<std::shared_ptr<ManagedPool>> Residency::users() const {
  std::vector<std::shared_ptr<ManagedPool>> found;
  const std::lock_guard lock(mutex_);
  for (const auto& weak : users_) {
    if (std::shared_ptr<ManagedPool> user = weak.lock()) found.push_back(std::move(user));
  }
  return found;
}

bool Residency::is_leaving() const {
  const std::lock_guard lock(mutex_);
  return !ended_ && Clock::now() < leaving_until_;
}

void Residency::wait_while_leaving(Deadline deadline) {
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, std::min(deadline.when(), leaving_until_), [this] { return ended_; });
}

bool Residency::is_pinned() const {
  const auto all_users = users();
  return std::ranges::any_of(all_users, [](const auto& user) { return user->is_pinned(); });
}

bool Residency::is_over_residence(Clock::time_point now) const {
  const std::lock_guard lock(mutex_);
  if (ended_ || loaded_at_ > now) return false;
  return now - loaded_at_ >= std::min<Clock::duration>(kResidenceByLoadTime * load_time_, kLongestResidence);
}

Residency::Clock::time_point Residency::evictable_before() const {
  const Clock::time_point now = Clock::now();
  return is_over_residence(now) ? now : now - kQuiet;
}

std::optional<Residency::Clock::time_point> Residency::idle_since() {
  std::optional<Clock::time_point> oldest;
  for (const auto& user : users()) {
    // One that stays keeps the weights here: destroying the instances of others would give nothing back.
    if (user->is_pinned() || user->is_in_use()) return std::nullopt;
    const auto use = user->least_recent_use();
    if (use && (!oldest || *use < *oldest)) oldest = use;
  }
  if (oldest && *oldest > evictable_before()) return std::nullopt;
  return oldest;
}

bool Residency::evict() {
  std::shared_ptr<ManagedPool> chosen;
  std::optional<Clock::time_point> oldest;
  for (auto& user : users()) {
    const auto use = user->least_recent_use();
    if (!use || (oldest && *use >= *oldest)) continue;
    oldest = use;
    chosen = std::move(user);
  }
  if (chosen == nullptr) return false;
  const MemoryEvent evicted = event(MemoryEvent::Kind::kEvicted, Clock::now() - *oldest);
  if (!chosen->evict_idle(evictable_before())) return false;
  budget_->report(evicted);
  return true;
}

std::optional<Residency::Clock::time_point> Residency::held_since() {
  if (is_pinned() || is_leaving() || !is_over_residence(Clock::now())) return std::nullopt;
  const std::lock_guard lock(mutex_);
  return loaded_at_;
}

void Residency::drain(Clock::time_point end) {
  {
    const std::lock_guard lock(mutex_);
    leaving_until_ = end;
  }
  budget_->report(event(MemoryEvent::Kind::kDrained, Clock::now() - loaded_at_));
  // Instances on lease go when they come home; who wants a new one is held back by WeightStore.
  for (const auto& user : users()) user->cleanup();
}

MemoryEvent Residency::event(MemoryEvent::Kind kind, std::chrono::nanoseconds duration) const {
  const WeightsSnapshot now = snapshot();
  return {.kind = kind, .device = now.device, .what = what_, .bytes = now.bytes, .duration = duration};
}

WeightsSnapshot Residency::snapshot() const {
  WeightsSnapshot snapshot;
  snapshot.what = what_;
  snapshot.device = budget_->device();
  snapshot.pinned = is_pinned();
  const std::lock_guard lock(mutex_);
  snapshot.bytes = weights_.bytes() + mapped_.bytes();
  snapshot.mapped_bytes = mapped_.bytes();
  snapshot.pools = std::ranges::count_if(users_, [](const auto& user) { return !user.expired(); });
  snapshot.load_time = load_time_;
  snapshot.age =
      ended_ || loaded_at_ == Clock::time_point::max() ? std::chrono::nanoseconds(0) : Clock::now() - loaded_at_;
  return snapshot;
}

}  // namespace remuda
