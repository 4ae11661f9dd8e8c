#include "pool/pool_core.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/fail.h"
#include "base/log.h"

namespace remuda {
namespace {

uint64_t next_instance_id() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

// The kernel's number of this thread, as debuggers and /proc show it.
int64_t this_thread() {
  thread_local const int64_t id = gettid();
  return id;
}

double seconds(Deadline::Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

PoolCore::PoolCore(PoolOptions options, PoolHandle::Factory factory)
    : options_(std::move(options)), factory_(std::move(factory)), max_instances_(options_.max_instances) {
  if (options_.max_instances < 1) {
    fail(ErrorCode::kInvalidArgument, "pool {}: max_instances: expected at least 1, found {}", options_.name,
         options_.max_instances);
  }
  if (options_.max_creations < 1) {
    fail(ErrorCode::kInvalidArgument, "pool {}: max_creations: expected at least 1, found {}", options_.name,
         options_.max_creations);
  }
}

PoolSlot* PoolCore::acquire(const AcquireOptions& options, bool raw) {
  const Clock::time_point since = Clock::now();
  Lock lock(mutex_);
  check_open();
  PoolSlot* slot = nullptr;
  if (first_waiter() == nullptr) {
    slot = take_idle();
    if (slot == nullptr && has_room()) slot = add_slot();
  }
  const bool served_at_once = slot != nullptr && slot->instance != nullptr;
  if (slot == nullptr) slot = wait_for_slot(lock, options, Deadline::after(options.timeout), since);
  if (slot->instance == nullptr) create(lock, slot);
  start_lease(slot, options, raw, since, served_at_once ? since : Clock::now());
  return slot;
}

PoolSlot* PoolCore::try_acquire() {
  const Clock::time_point since = Clock::now();
  Lock lock(mutex_);
  check_open();
  if (first_waiter() != nullptr) return nullptr;
  PoolSlot* slot = take_idle();
  if (slot == nullptr && has_room()) slot = add_slot();
  if (slot == nullptr) return nullptr;
  if (slot->instance == nullptr) create(lock, slot);
  start_lease(slot, {}, /*raw=*/false, since, Clock::now());
  return slot;
}

void PoolCore::release(PoolSlot* slot, bool discard) {
  // The holder still owns the instance here, so it can be looked at without the lock.
  if (!discard && options_.is_healthy) {
    try {
      discard = !options_.is_healthy(*slot->instance);
    } catch (const std::exception& error) {
      log::warning("pool {}: the health check of instance {} failed: {}", options_.name, slot->instance->metadata_.id,
                   error.what());
      discard = true;
    } catch (...) {  // Leases release in their destructors: nothing may escape.
      log::warning("pool {}: the health check of instance {} failed", options_.name, slot->instance->metadata_.id);
      discard = true;
    }
  }
  const Clock::time_point now = Clock::now();
  Lock lock(mutex_);
  stats_.use_time.record(now - slot->leased_at);
  if (now - slot->leased_at >= options_.leak_threshold) report_leaks(now);
  slot->given_raw = false;
  if (discard || !is_reusable(*slot)) {
    Instances gone;
    gone.push_back(remove(slot));
    destroy(lock, std::move(gone));
    return;
  }
  slot->state = SlotState::kIdle;
  idle_.push_back(slot);
  schedule();
}

void PoolCore::release_instance(const ModelInstance* instance) {
  PoolSlot* found = nullptr;
  {
    const Lock lock(mutex_);
    // By address alone: an instance that was released may be gone.
    for (PoolSlot& slot : slots_) {
      if (slot.instance.get() == instance && instance != nullptr) found = &slot;
    }
    if (found == nullptr || !found->given_raw) {
      const std::string id = found == nullptr ? fmt::format("at {}", fmt::ptr(instance))
                                              : fmt::format("{}", found->instance->metadata_.id);
      fail(ErrorCode::kInvalidArgument,
           "pool {}: instance {} is not on lease from get_instance: it was released already, or is another pool's",
           options_.name, id);
    }
    found->given_raw = false;  // The next release of it is an error, even while this one is under way.
  }
  release(found, /*discard=*/false);
}

bool PoolCore::cleanup(std::optional<std::chrono::nanoseconds> timeout) {
  const Deadline deadline = Deadline::after(timeout.value_or(std::chrono::nanoseconds(0)));
  Lock lock(mutex_);
  const uint64_t generation = ++generation_;
  destroy(lock, remove_idle(static_cast<int64_t>(idle_.size())));
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
  Lock lock(mutex_);
  if (std::exchange(closed_, true)) return;
  ++generation_;
  for (auto& queue : waiters_) {
    for (Waiter* waiter : queue) waiter->served.notify_one();
  }
  destroy(lock, remove_idle(static_cast<int64_t>(idle_.size())));
}

int64_t PoolCore::shrink(int64_t instances) {
  Lock lock(mutex_);
  Instances gone = remove_idle(static_cast<int64_t>(slots_.size()) - std::max<int64_t>(instances, 0));
  const auto count = static_cast<int64_t>(gone.size());
  destroy(lock, std::move(gone));
  return count;
}

void PoolCore::resize(int64_t max_instances) {
  if (max_instances < 1) {
    fail(ErrorCode::kInvalidArgument, "pool {}: max_instances: expected at least 1, found {}", options_.name,
         max_instances);
  }
  Lock lock(mutex_);
  max_instances_ = max_instances;
  destroy(lock, remove_idle(static_cast<int64_t>(slots_.size()) - max_instances));
}

PoolStats PoolCore::get_pool_stats() {
  const Clock::time_point now = Clock::now();
  const Lock lock(mutex_);
  report_leaks(now);
  PoolStats stats = stats_;
  stats.name = options_.name;
  stats.max_instances = max_instances_;
  stats.available = static_cast<int64_t>(idle_.size());
  stats.creating = creating_;
  stats.total = static_cast<int64_t>(slots_.size());
  stats.in_use = stats.total - stats.available - stats.creating;
  stats.waiting = waiting();
  for (const PoolSlot& slot : slots_) {
    if (slot.instance == nullptr) continue;
    stats.memory_shared = std::max(stats.memory_shared, slot.instance->metadata_.shared_bytes);
    stats.memory_private += slot.instance->metadata_.private_bytes;
  }
  return stats;
}

bool PoolCore::has_room() const {
  if (!options_.enabled) return true;
  return creating_ < options_.max_creations && static_cast<int64_t>(slots_.size()) + destroying_ < max_instances_;
}

PoolCore::Waiter* PoolCore::first_waiter() {
  for (auto& queue : waiters_) {
    if (!queue.empty()) return queue.front();
  }
  return nullptr;
}

int64_t PoolCore::waiting() const {
  int64_t count = 0;
  for (const auto& queue : waiters_) count += static_cast<int64_t>(queue.size());
  return count;
}

// Serves waiters in turn as long as there is something to give them. Those of a closed pool get PoolClosed, also when
// room appears before they have woken.
void PoolCore::schedule() {
  if (closed_) return;
  while (Waiter* waiter = first_waiter()) {
    PoolSlot* slot = take_idle();
    if (slot == nullptr && has_room()) slot = add_slot();
    if (slot == nullptr) return;
    waiter->slot = slot;
    for (auto& queue : waiters_) {
      if (!queue.empty() && queue.front() == waiter) {
        queue.pop_front();
        break;
      }
    }
    waiter->served.notify_one();
  }
}

PoolSlot* PoolCore::take_idle() {
  if (idle_.empty()) return nullptr;
  PoolSlot* slot = idle_.back();
  idle_.pop_back();
  slot->state = SlotState::kLeased;
  slot->reported = true;  // Nothing to report before the new lease begins.
  return slot;
}

// A slot for an instance that the caller is to create.
PoolSlot* PoolCore::add_slot() {
  PoolSlot& slot = slots_.emplace_back();
  slot.position = std::prev(slots_.end());
  slot.generation = generation_;
  ++creating_;
  return &slot;
}

PoolSlot* PoolCore::wait_for_slot(Lock& lock, const AcquireOptions& options, Deadline deadline,
                                  Clock::time_point since) {
  Waiter waiter;
  auto& queue = waiters_[static_cast<size_t>(options.priority)];
  queue.push_back(&waiter);
  waiter.position = std::prev(queue.end());
  while (waiter.slot == nullptr && !closed_) {
    const Clock::time_point now = Clock::now();
    const Clock::time_point next_leak = report_leaks(now);
    if (now >= deadline.when()) break;
    const Clock::time_point until = std::min(deadline.when(), next_leak);
    if (until == Clock::time_point::max()) {
      waiter.served.wait(lock);
    } else {
      waiter.served.wait_until(lock, until);
    }
  }
  if (waiter.slot != nullptr) return waiter.slot;
  queue.erase(waiter.position);
  check_open();
  ++stats_.timeouts;
  const Clock::time_point now = Clock::now();
  throw TimeoutError(fmt::format("pool {}: no instance within {:.3f} s: {}", options_.name, seconds(now - since),
                                 describe_holders(now)));
}

// Makes the slot's instance, without the lock; when that fails the slot is given back.
void PoolCore::create(Lock& lock, PoolSlot* slot) {
  lock.unlock();
  const Clock::time_point start = Clock::now();
  std::unique_ptr<ModelInstance> instance;
  std::exception_ptr error;
  try {
    instance = factory_();
    check_invariant(instance != nullptr, "a factory that makes an instance");
    instance->metadata_.id = next_instance_id();
    instance->metadata_.created = std::chrono::system_clock::now();
  } catch (...) {
    error = std::current_exception();
  }
  const Clock::time_point end = Clock::now();
  lock.lock();
  --creating_;
  if (error) {
    ++stats_.creation_failures;
    slots_.erase(slot->position);
    emptied_.notify_all();
    schedule();
    std::rethrow_exception(error);
  }
  ++stats_.created;
  stats_.create_time.record(end - start);
  slot->instance = std::move(instance);
  slot->state = SlotState::kLeased;
  log::debug("pool {}: created instance {} in {:.1f} ms", options_.name, slot->instance->metadata_.id,
             1e3 * seconds(end - start));
  schedule();  // Another may create now.
}

void PoolCore::start_lease(PoolSlot* slot, const AcquireOptions& options, bool raw, Clock::time_point since,
                           Clock::time_point now) {
  slot->leased_at = now;
  slot->holder = this_thread();
  slot->label = options.label;
  slot->destroy_after_use = options.destroy_after_use;
  slot->given_raw = raw;
  slot->reported = false;
  ModelMetadata& metadata = slot->instance->metadata_;
  ++metadata.use_count;
  metadata.last_used = std::chrono::system_clock::now();
  ++stats_.acquires;
  stats_.wait_time.record(now - since);
}

bool PoolCore::is_reusable(const PoolSlot& slot) const {
  return options_.enabled && !closed_ && !slot.destroy_after_use && slot.generation == generation_ &&
         static_cast<int64_t>(slots_.size()) <= max_instances_;
}

// Takes the slot away; the instance is to be given to destroy().
std::unique_ptr<ModelInstance> PoolCore::remove(PoolSlot* slot) {
  std::unique_ptr<ModelInstance> instance = std::move(slot->instance);
  slots_.erase(slot->position);
  return instance;
}

// The least recently used first.
PoolCore::Instances PoolCore::remove_idle(int64_t most) {
  Instances gone;
  const auto count = static_cast<size_t>(std::clamp<int64_t>(most, 0, static_cast<int64_t>(idle_.size())));
  for (size_t i = 0; i < count; ++i) gone.push_back(remove(idle_[i]));
  idle_.erase(idle_.begin(), idle_.begin() + static_cast<std::ptrdiff_t>(count));
  return gone;
}

// Destroys instances that were removed, without the lock. Their room is free only when they are gone.
void PoolCore::destroy(Lock& lock, Instances instances) {
  const auto count = static_cast<int64_t>(instances.size());
  if (count > 0) {
    destroying_ += count;
    lock.unlock();
    for (auto& instance : instances) {
      log::debug("pool {}: destroying instance {} after {} uses", options_.name, instance->metadata_.id,
                 instance->metadata_.use_count);
      instance.reset();
    }
    lock.lock();
    destroying_ -= count;
    stats_.destroyed += static_cast<uint64_t>(count);
  }
  emptied_.notify_all();
  schedule();
}

// Reports leases held for too long, each once; returns when the next will be.
PoolCore::Clock::time_point PoolCore::report_leaks(Clock::time_point now) {
  Clock::time_point next = Clock::time_point::max();
  for (PoolSlot& slot : slots_) {
    if (slot.state != SlotState::kLeased || slot.reported) continue;
    if (options_.leak_threshold > Clock::time_point::max() - slot.leased_at) continue;
    const Clock::time_point due = slot.leased_at + options_.leak_threshold;
    if (due > now) {
      next = std::min(next, due);
      continue;
    }
    slot.reported = true;
    ++stats_.leaks;
    log::warning("pool {}: instance {} has been on lease for {:.1f} s, by thread {}{}{}; was it forgotten?",
                 options_.name, slot.instance->metadata_.id, seconds(now - slot.leased_at), slot.holder,
                 slot.label.empty() ? "" : ", ", slot.label);
  }
  return next;
}

std::string PoolCore::describe_holders(Clock::time_point now) const {
  std::string text = fmt::format("{} of {} instances are in use", slots_.size(), max_instances_);
  for (const PoolSlot& slot : slots_) {
    if (slot.state == SlotState::kCreating) text += "; one is being created";
    if (slot.state != SlotState::kLeased) continue;
    text += fmt::format("; instance {} by thread {}{}{} for {:.3f} s", slot.instance->metadata_.id, slot.holder,
                        slot.label.empty() ? "" : ", ", slot.label, seconds(now - slot.leased_at));
  }
  return text + fmt::format("; {} more callers wait", waiting());
}

void PoolCore::check_open() const {
  if (closed_) throw PoolClosed(fmt::format("pool {} is closed", options_.name));
}

}  // namespace remuda
