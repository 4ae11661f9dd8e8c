// How instances become fewer, and how idle ones become more without a caller.
#include <fmt/format.h>

#include <algorithm>

#include "base/fail.h"
#include "base/log.h"
#include "device/memory_budget.h"
#include "pool/pool_core.h"

namespace remuda {
namespace {

// Until the next attempt to make an idle instance, after so many failures in a row.
std::chrono::seconds refill_delay(int failures) {
  constexpr int kMostDoublings = 6;
  return std::chrono::seconds(1 << std::clamp(failures - 1, 0, kMostDoublings));
}

}  // namespace

bool PoolCore::cleanup(std::optional<std::chrono::nanoseconds> timeout) {
  check_process();
  const Deadline deadline = Deadline::after(timeout.value_or(std::chrono::nanoseconds(0)));
  Lock lock(mutex_);
  const uint64_t generation = ++generation_;
  refill_ = false;
  destroy(lock, remove_idle_down_to(0, DestroyReason::kCleanup));
  const auto none_left = [&] {
    return destroying_ == 0 && std::ranges::none_of(slots_, [generation](const PoolSlot& slot) {
             return slot.generation < generation && slot.state != SlotState::kCreating;
           });
  };
  if (deadline.is_never()) {
    emptied_.wait(lock, none_left);
    return true;
  }
  return emptied_.wait_until(lock, deadline.when(), none_left);
}

void PoolCore::close() {
  if (is_parents()) {
    forever_ = shared_from_this();
    return;
  }
  {
    Lock lock(mutex_);
    if (!closed_) {
      closed_ = true;
      ++generation_;
      queue_.notify_all();
      destroy(lock, remove_idle_down_to(0, DestroyReason::kClosed));
    }
  }
  strike_off(this);
  Housekeeper::global().forget(this);
}

int64_t PoolCore::shrink(int64_t instances) {
  check_process();
  if (instances < 0) {
    fail(ErrorCode::kInvalidArgument, "pool {}: shrink: expected a number of instances, at least 0, found {}",
         options_.name, instances);
  }
  Lock lock(mutex_);
  refill_ = false;
  Instances gone = remove_idle_down_to(instances, DestroyReason::kShrunk);
  const auto count = static_cast<int64_t>(gone.size());
  destroy(lock, std::move(gone));
  return count;
}

void PoolCore::resize(int64_t max_instances) {
  check_process();
  if (max_instances < 1) {
    fail(ErrorCode::kInvalidArgument,
         "pool {}: max_instances: expected at least 1, found {}; cleanup() empties a pool, close() ends it",
         options_.name, max_instances);
  }
  Lock lock(mutex_);
  max_instances_ = max_instances;
  refill_ = true;
  destroy(lock, remove_idle_down_to(max_instances, DestroyReason::kResized));
}

void PoolCore::warm_up() {
  check_process();
  bool is_empty = false;
  {
    const Lock lock(mutex_);
    check_open();
    is_empty = std::ranges::none_of(slots_, [](const PoolSlot& slot) { return slot.instance != nullptr; });
  }
  if (is_empty) release(acquire({}, /*raw=*/false), /*discard=*/false);
  Lock lock(mutex_);
  refill_ = true;
  const auto is_my_turn = [&] {
    return refiller_ == std::thread::id() || refiller_ == std::this_thread::get_id();  // Called by the factory.
  };
  refilled_.wait(lock, is_my_turn);
  if (wants_refill()) refill(lock);
}

bool PoolCore::evict_idle(Clock::time_point not_used_since) {
  check_process();
  Lock lock(mutex_);
  if (idle_.empty() || idle_.front()->unused_since >= not_used_since) return false;
  refill_ = false;
  ++stats_.evicted;
  Instances gone;
  gone.push_back(remove_idle(0, DestroyReason::kEvicted));
  destroy(lock, std::move(gone));
  return true;
}

int64_t PoolCore::destroy_idle_on(const std::string& device, DestroyReason reason) {
  if (is_parents()) return 0;  // Whoever finds a device lost asks all pools that there are.
  Lock lock(mutex_);
  if (reason == DestroyReason::kLost) lost_devices_.insert(device);
  Instances gone;
  for (size_t i = idle_.size(); i-- > 0;) {
    if (idle_[i]->instance->metadata_.device == device) gone.push_back(remove_idle(i, reason));
  }
  const auto count = static_cast<int64_t>(gone.size());
  if (count == 0) return 0;
  refill_ = true;
  if (reason == DestroyReason::kEvicted) stats_.evicted += static_cast<uint64_t>(count);
  destroy(lock, std::move(gone));
  return count;
}

std::optional<PoolCore::Clock::time_point> PoolCore::least_recent_use() {
  check_process();
  const Lock lock(mutex_);
  return idle_.empty() ? std::nullopt : std::optional(idle_.front()->unused_since);
}

PoolCore::Clock::time_point PoolCore::housekeep() noexcept {
  Lock lock(mutex_);
  housekeeping_due_ = Clock::time_point::max();
  if (closed_) return housekeeping_due_;
  const Clock::time_point now = Clock::now();
  if (no_memory_until_ && now >= *no_memory_until_) no_memory_until_.reset();
  const std::vector<LeakReport> leaks = note_leaks(now);
  destroy(lock, remove_expired(now));
  if (!leaks.empty()) {
    lock.unlock();
    report_leaks(leaks);
    lock.lock();
  }
  if (wants_refill() && now >= refill_not_before_) try_refill(lock);
  housekeeping_due_ = std::min(housekeeping_due_, next_housekeeping());
  return housekeeping_due_;
}

// As refill, less and less often while it fails.
void PoolCore::try_refill(Lock& lock) {
  bool has_memory = false;
  std::string why;
  try {
    has_memory = refill(lock);
  } catch (...) {
    why = message_of_current_exception();
  }
  if (has_memory) {
    refill_failures_ = 0;
    return;
  }
  const std::chrono::seconds delay = refill_delay(++refill_failures_);
  refill_not_before_ = Clock::now() + delay;
  if (why.empty()) return;
  log::warning("pool {}: an instance for min_idle could not be made, next try in {} s: {}", options_.name,
               delay.count(), why);
}

// The idle list is in the order of their last uses, which is nearly always the order in which they come.
void PoolCore::make_idle(PoolSlot* slot) {
  slot->state = SlotState::kIdle;
  const auto place = std::ranges::upper_bound(idle_, slot->unused_since, {}, &PoolSlot::unused_since);
  idle_.insert(place, slot);
  if (options_.idle_ttl && static_cast<int64_t>(idle_.size()) > options_.min_idle) {
    ask_for_housekeeping(later(idle_.front()->unused_since, *options_.idle_ttl));
  }
  if (options_.max_lifetime) ask_for_housekeeping(later(slot->created_at, *options_.max_lifetime));
}

// Takes the slot away; the instance is to be given to destroy().
PoolCore::Doomed PoolCore::remove(PoolSlot* slot, DestroyReason reason) {
  Doomed doomed{std::move(slot->instance), reason};
  slots_.erase(slot->position);
  return doomed;
}

PoolCore::Doomed PoolCore::remove_idle(size_t index, DestroyReason reason) {
  PoolSlot* slot = idle_[index];
  idle_.erase(idle_.begin() + static_cast<std::ptrdiff_t>(index));
  return remove(slot, reason);
}

// The least recently used first, until there are so many instances in all, or none is idle.
PoolCore::Instances PoolCore::remove_idle_down_to(int64_t most, DestroyReason reason) {
  Instances gone;
  while (!idle_.empty() && static_cast<int64_t>(slots_.size()) > most) gone.push_back(remove_idle(0, reason));
  return gone;
}

PoolCore::Instances PoolCore::remove_expired(Clock::time_point now) {
  Instances gone;
  if (options_.max_lifetime) {
    for (size_t i = idle_.size(); i-- > 0;) {
      if (now < later(idle_[i]->created_at, *options_.max_lifetime)) continue;
      gone.push_back(remove_idle(i, DestroyReason::kOld));
      refill_ = true;
    }
  }
  while (options_.idle_ttl && static_cast<int64_t>(idle_.size()) > options_.min_idle &&
         now >= later(idle_.front()->unused_since, *options_.idle_ttl)) {
    gone.push_back(remove_idle(0, DestroyReason::kIdle));
  }
  return gone;
}

// Destroys instances that were removed, without the lock. Their room is free only when they are gone.
void PoolCore::destroy(Lock& lock, Instances instances) {
  const auto count = static_cast<int64_t>(instances.size());
  if (count > 0) {
    destroying_ += count;
    for (const auto& [instance, reason] : instances) {
      if (reason == DestroyReason::kIdle || reason == DestroyReason::kOld || reason == DestroyReason::kWornOut) {
        ++stats_.expired;
      }
      if (reason == DestroyReason::kLost || reason == DestroyReason::kFailed) ++stats_.lost;
    }
    lock.unlock();
    for (auto& [instance, reason] : instances) {
      const uint64_t id = instance->metadata_.id;
      const Clock::time_point start = Clock::now();
      instance.reset();
      report(
          {.kind = PoolEvent::Kind::kDestroy, .instance_id = id, .duration = Clock::now() - start, .reason = reason});
    }
    lock.lock();
    destroying_ -= count;
    stats_.destroyed += static_cast<uint64_t>(count);
    no_memory_until_.reset();  // What they took is free.
  }
  emptied_.notify_all();
  schedule();
}

bool PoolCore::lacks_idle() const {
  return refill_ && static_cast<int64_t>(idle_.size()) < options_.min_idle && options_.enabled && !closed_ &&
         queue_.empty() && has_room();
}

bool PoolCore::wants_refill() const { return refiller_ == std::thread::id() && lacks_idle(); }

// Makes idle instances for min_idle. False where memory ends first; throws what the factory throws otherwise. One
// thread at a time: two would each make what both see lacking.
bool PoolCore::refill(Lock& lock) {
  const MemoryWait wait(Deadline::at(Clock::now()));  // Others are served by this thread, too.
  struct Turn {
    explicit Turn(PoolCore& core) : pool(core) { pool.refiller_ = std::this_thread::get_id(); }
    ~Turn() {
      pool.refiller_ = std::thread::id();
      pool.refilled_.notify_all();
      if (pool.wants_refill()) pool.ask_for_housekeeping(pool.refill_not_before_);
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    PoolCore& pool;
  };
  const Turn turn(*this);
  while (lacks_idle()) {
    PoolSlot* slot = add_slot();
    if (!create(lock, slot)) return false;
    come_home(lock, slot, doom_of(*slot, Clock::now()));
  }
  return true;
}

void PoolCore::ask_for_housekeeping(Clock::time_point when) {
  if (when >= housekeeping_due_) return;
  housekeeping_due_ = when;
  Housekeeper::global().visit_at(shared_from_this(), when);
}

// When there will be something to do, as things are.
PoolCore::Clock::time_point PoolCore::next_housekeeping() const {
  Clock::time_point next = no_memory_until_.value_or(Clock::time_point::max());
  for (const PoolSlot& slot : slots_) {
    if (slot.state == SlotState::kLeased && !slot.reported) {
      next = std::min(next, later(slot.leased_at, options_.leak_threshold));
    }
    if (slot.state == SlotState::kIdle && options_.max_lifetime) {
      next = std::min(next, later(slot.created_at, *options_.max_lifetime));
    }
  }
  if (options_.idle_ttl && static_cast<int64_t>(idle_.size()) > options_.min_idle) {
    next = std::min(next, later(idle_.front()->unused_since, *options_.idle_ttl));
  }
  if (wants_refill()) next = std::min(next, refill_not_before_);
  return next;
}

}  // namespace remuda
