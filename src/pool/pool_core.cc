#include "pool/pool_core.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/fail.h"
#include "base/log.h"
#include "device/memory_budget.h"

namespace remuda {
namespace {

using std::chrono::nanoseconds;

// How often AcquireOptions::cancelled is looked at.
constexpr std::chrono::milliseconds kCancelledPeriod{10};
// When memory may have come free elsewhere in the machine.
constexpr std::chrono::milliseconds kOutOfMemoryPause{250};

uint64_t next_instance_id() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

// Throws where an option is out of range.
void check(const PoolOptions& options) {
  const auto at_least = [&](const char* option, std::optional<int64_t> found, int64_t least) {
    if (!found || *found >= least) return;
    fail(ErrorCode::kInvalidArgument, "pool {}: {}: expected at least {}, found {}", options.name, option, least,
         *found);
  };
  const auto positive = [&](const char* option, std::optional<nanoseconds> found, const char* instead) {
    if (!found || *found > nanoseconds(0)) return;
    fail(ErrorCode::kInvalidArgument, "pool {}: {}: expected more than 0 s, found {} s; {}", options.name, option,
         to_seconds(*found), instead);
  };
  at_least("max_instances", options.max_instances, 1);
  at_least("max_creations", options.max_creations, 1);
  at_least("max_uses", options.max_uses, 1);
  at_least("max_waiting", options.max_waiting, 0);
  at_least("min_idle", options.min_idle, 0);
  if (options.min_idle > options.max_instances) {
    fail(ErrorCode::kInvalidArgument, "pool {}: min_idle: expected at most max_instances, {}, found {}", options.name,
         options.max_instances, options.min_idle);
  }
  positive("idle_ttl", options.idle_ttl, "leave it unset to keep idle instances, or set enabled to false to keep none");
  positive("max_lifetime", options.max_lifetime,
           "leave it unset for no limit, or set max_uses to 1 for a new instance each time");
  positive("leak_threshold", options.leak_threshold, "set a very long time to have none reported");
}

}  // namespace

int64_t this_thread() {
  constexpr uint64_t kUnknown = ~uint64_t{0};
  thread_local uint64_t generation = kUnknown;
  thread_local int64_t id = 0;
  if (generation != fork_generation()) {
    generation = fork_generation();
    id = gettid();
  }
  return id;
}

PoolCore::PoolCore(PoolOptions options, PoolHandle::Factory factory)
    : options_(std::move(options)), factory_(std::move(factory)), max_instances_(options_.max_instances) {
  check(options_);
}

PoolSlot* PoolCore::acquire(const AcquireOptions& options, bool raw) {
  check_process();
  const Clock::time_point since = Clock::now();
  if (options.stop_token.stop_requested()) {
    fail(ErrorCode::kCancelled, "pool {}: cancelled before it could wait for an instance", options_.name);
  }
  Lock lock(mutex_);
  check_open();
  PoolSlot* slot = queue_.empty() ? take() : nullptr;
  if (slot != nullptr && slot->instance != nullptr) {
    start_lease(slot, options, raw, since, since);
  } else {
    slot = acquire_slowly(lock, slot, {options, since, Deadline::after(options.timeout)});
    start_lease(slot, options, raw, since, Clock::now());
  }
  lock.unlock();
  if (is_observed()) report_lease(PoolEvent::Kind::kAcquire, *slot, slot->leased_at - since);
  return slot;
}

PoolSlot* PoolCore::try_acquire() {
  check_process();
  const Clock::time_point since = Clock::now();
  Lock lock(mutex_);
  check_open();
  PoolSlot* slot = queue_.empty() ? take() : nullptr;
  if (slot == nullptr) return nullptr;
  const MemoryWait wait(Deadline::at(since));
  if (slot->instance == nullptr && !create(lock, slot)) return nullptr;
  start_lease(slot, {}, /*raw=*/false, since, Clock::now());
  lock.unlock();
  if (is_observed()) report_lease(PoolEvent::Kind::kAcquire, *slot, slot->leased_at - since);
  return slot;
}

void PoolCore::release(PoolSlot* slot, bool discard) {
  if (is_parents()) {  // Leases release in their destructors, so this is no error.
    forever_ = shared_from_this();
    return;
  }
  // The holder still owns the instance here, so it can be looked at without the lock.
  std::optional<DestroyReason> doom;
  if (discard) {
    doom = DestroyReason::kDiscarded;
  } else {
    doom = look_at(*slot->instance);
  }
  const Clock::time_point now = Clock::now();
  if (is_observed()) report_lease(PoolEvent::Kind::kRelease, *slot, now - slot->leased_at);
  Lock lock(mutex_);
  stats_.use_time.record(now - slot->leased_at);
  std::vector<LeakReport> leaks;
  if (now - slot->leased_at >= options_.leak_threshold) leaks = note_leaks(now);
  slot->given_raw = false;
  slot->unused_since = now;
  if (const std::optional<DestroyReason> own = doom_of(*slot, now); own && (!doom || own == DestroyReason::kLost)) {
    doom = own;
  }
  come_home(lock, slot, doom);
  if (!leaks.empty()) {
    lock.unlock();
    report_leaks(leaks);
  }
}

void PoolCore::release_instance(const ModelInstance* instance) {
  check_process();
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

// Waits, or makes an instance, as often as it takes. `slot` is one to create in, or null.
PoolSlot* PoolCore::acquire_slowly(Lock& lock, PoolSlot* slot, Call call) {
  // Memory that the factory needs may have to be waited for: no longer than the caller waits.
  std::optional<MemoryWait> wait;
  if (!call.deadline.is_never()) wait.emplace(call.deadline);
  bool is_back = false;
  while (true) {
    if (slot == nullptr) slot = wait_for_slot(lock, call, is_back);
    if (slot->instance != nullptr || create(lock, slot)) return slot;
    slot = nullptr;
    is_back = true;
    if (has_instance() || !call.room_deadline.is_never()) continue;
    const Clock::time_point longest = Clock::now() + MemoryBudget::kLongestWait;
    call.room_deadline = Deadline::at(std::min(call.deadline.when(), longest));
    log::warning("pool {}: a caller waits for memory: {}", options_.name, no_memory_because_);
  }
}

// `is_back`: the caller had its turn already, and goes before those of its priority.
PoolSlot* PoolCore::wait_for_slot(Lock& lock, const Call& call, bool is_back) {
  Waiter waiter;
  waiter.priority = call.options.priority;
  std::exception_ptr error;
  if (call.options.stop_token.stop_possible()) {
    lock.unlock();  // The callback locks, and may run here, in on_stop's constructor.
    {
      // Before the waiter has a place, so that no stop comes too early to free it.
      const std::stop_callback on_stop(call.options.stop_token, [this, &waiter] {
        const Lock its_lock(mutex_);
        if (waiter.slot != nullptr) return;
        if (waiter.queued) queue_.erase(waiter);
        waiter.stopped = true;
        waiter.served.notify_one();
      });
      Lock own_lock(mutex_);  // Free again when on_stop's destructor waits for a callback that runs now.
      error = queue_and_wait(own_lock, waiter, call, is_back);
    }
    lock.lock();
  } else {
    error = queue_and_wait(lock, waiter, call, is_back);
  }
  if (waiter.slot != nullptr && !error) return waiter.slot;
  if (waiter.queued) queue_.erase(waiter);
  if (waiter.slot != nullptr) {
    if (waiter.slot->instance != nullptr) {
      come_home(lock, waiter.slot, doom_of(*waiter.slot, Clock::now()));
    } else {
      drop_uncreated(waiter.slot, nullptr);
    }
  }
  if (error) std::rethrow_exception(error);
  give_up(lock, waiter, call);
}

// As wait(), from the end of the queue, or where the caller is back, its front. Throws Overloaded.
std::exception_ptr PoolCore::queue_and_wait(Lock& lock, Waiter& waiter, const Call& call, bool is_back) {
  if (waiter.stopped || closed_) return nullptr;
  if (is_back) {
    queue_.push_front(waiter);
    schedule();  // An instance may have come home while this caller tried to make one.
  } else {
    if (queue_.empty()) waiter.slot = take();  // Or while it had no lock.
    if (waiter.slot != nullptr) return nullptr;
    if (options_.max_waiting && queue_.size() >= *options_.max_waiting) refuse(lock, call);
    queue_.push_back(waiter);
  }
  return wait(lock, waiter, call);
}

// Until the waiter is served or withdrawn, its deadline passes or the pool is closed. Returns what `cancelled` threw.
std::exception_ptr PoolCore::wait(Lock& lock, Waiter& waiter, const Call& call) {
  while (waiter.queued && !closed_) {
    const Clock::time_point now = Clock::now();
    if (is_over(call, now)) break;
    Clock::time_point until = call.deadline.when();
    // Whether there are instances then, it is told by nobody.
    if (!call.room_deadline.is_never())
      until = std::min(until, std::max(call.room_deadline.when(), now + kOutOfMemoryPause));
    if (call.options.cancelled) until = std::min(until, now + kCancelledPeriod);
    if (until == Clock::time_point::max()) {
      waiter.served.wait(lock);
    } else {
      waiter.served.wait_until(lock, until);
    }
    if (!call.options.cancelled || !waiter.queued || Clock::now() < until) continue;
    lock.unlock();
    std::exception_ptr error;
    bool cancelled = false;
    try {
      cancelled = call.options.cancelled();
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    if (error) return error;
    if (cancelled && waiter.queued) {
      queue_.erase(waiter);
      waiter.stopped = true;
    }
  }
  return nullptr;
}

bool PoolCore::is_over(const Call& call, Clock::time_point now) const {
  return now >= call.deadline.when() || (now >= call.room_deadline.when() && !has_instance());
}

// Throws for a call that there is no place in the queue for.
void PoolCore::refuse(Lock& lock, const Call& call) {
  ++stats_.overloaded;
  const Clock::time_point now = Clock::now();
  const std::string message =
      fmt::format("pool {}: overloaded: {} callers wait, and no more than {} may (max_waiting); try again later: {}",
                  options_.name, queue_.size(), *options_.max_waiting, describe_holders(now));
  lock.unlock();
  report_waiting(PoolEvent::Kind::kOverload, call, now);
  throw Overloaded(message);
}

// Throws for a call that ends without an instance; its waiter is in no queue.
void PoolCore::give_up(Lock& lock, const Waiter& waiter, const Call& call) {
  const Clock::time_point now = Clock::now();
  const double waited = to_seconds(now - call.since);
  if (waiter.stopped) {
    ++stats_.cancelled;
    lock.unlock();
    report_waiting(PoolEvent::Kind::kCancel, call, now);
    fail(ErrorCode::kCancelled, "pool {}: cancelled after {:.3f} s of waiting for an instance", options_.name, waited);
  }
  check_open();
  ++stats_.timeouts;
  if (!call.room_deadline.is_never() && !has_instance()) {
    const std::string why = fmt::format("pool {}: no memory for an instance within {:.3f} s: {}", options_.name, waited,
                                        no_memory_because_);
    lock.unlock();
    report_waiting(PoolEvent::Kind::kTimeout, call, now);
    throw OutOfMemory(why);
  }
  const std::string message =
      fmt::format("pool {}: no instance within {:.3f} s: {}", options_.name, waited, describe_holders(now));
  lock.unlock();
  report_waiting(PoolEvent::Kind::kTimeout, call, now);
  throw TimeoutError(message);
}

// Why an instance that comes home can't be used again, as far as it knows itself.
std::optional<DestroyReason> PoolCore::look_at(ModelInstance& instance) const {
  if (instance.has_failed_) return DestroyReason::kFailed;
  if (options_.is_healthy && !is_healthy(instance)) return DestroyReason::kUnhealthy;
  if (instance.has_better_place_ && instance.has_better_place_()) return DestroyReason::kMoved;
  return std::nullopt;
}

bool PoolCore::is_healthy(ModelInstance& instance) const {
  try {
    return options_.is_healthy(instance);
  } catch (...) {  // Leases release in their destructors: nothing may escape.
    log::warning("pool {}: the health check of instance {} failed: {}", options_.name, instance.metadata_.id,
                 message_of_current_exception());
  }
  return false;
}

bool PoolCore::has_room() const {
  if (no_memory_until_) return false;
  if (!options_.enabled) return true;
  return creating_ < options_.max_creations && static_cast<int64_t>(slots_.size()) + destroying_ < max_instances_;
}

bool PoolCore::has_instance() const {
  return std::ranges::any_of(slots_, [](const PoolSlot& slot) { return slot.instance != nullptr; });
}

// Serves waiters in turn as long as there is something to give them. Those of a closed pool get PoolClosed, also when
// room appears before they have woken.
void PoolCore::schedule() {
  if (slots_.empty() && !memory_may_come_) no_memory_until_.reset();  // None is left whose end could bring memory.
  while (!closed_ && !queue_.empty()) {
    PoolSlot* slot = take();
    if (slot == nullptr) break;
    Waiter& waiter = queue_.pop();
    waiter.slot = slot;
    waiter.served.notify_one();
  }
  if (wants_refill()) ask_for_housekeeping(refill_not_before_);
}

// An idle instance's slot, or a new one to create an instance in; null when there is neither.
PoolSlot* PoolCore::take() {
  if (idle_.empty()) return has_room() ? add_slot() : nullptr;
  PoolSlot* slot = idle_.back();
  idle_.pop_back();
  slot->state = SlotState::kGiven;
  refill_ = true;
  if (wants_refill()) ask_for_housekeeping(refill_not_before_);
  return slot;
}

// A slot for an instance that the caller is to create.
PoolSlot* PoolCore::add_slot() {
  PoolSlot& slot = slots_.emplace_back();
  idle_.reserve(slots_.size());  // So that coming home needs no memory.
  slot.position = std::prev(slots_.end());
  slot.generation = generation_;
  ++creating_;
  return &slot;
}

// Makes the slot's instance, without the lock. When that fails the slot is given back: false, when it was for want of
// memory that may come free, so that the caller can wait; otherwise it throws what the factory threw.
bool PoolCore::create(Lock& lock, PoolSlot* slot) {
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
  if (error) {
    report_failed_creation(error, end - start);
    lock.lock();
    if (drop_uncreated(slot, error)) std::rethrow_exception(error);
    return false;
  }
  report({.kind = PoolEvent::Kind::kCreate, .instance_id = instance->metadata_.id, .duration = end - start});
  lock.lock();
  --creating_;
  ++stats_.created;
  stats_.create_time.record(end - start);
  no_memory_because_.clear();
  memory_may_come_ = false;
  slot->instance = std::move(instance);
  slot->state = SlotState::kGiven;
  slot->created_at = end;
  slot->unused_since = end;
  schedule();  // Another may create now.
  return true;
}

// Takes away a slot whose instance was not made. Returns whether that is the end of it; if not, the caller waits.
bool PoolCore::drop_uncreated(PoolSlot* slot, const std::exception_ptr& error) {
  slots_.erase(slot->position);
  --creating_;
  bool is_end = true;
  if (error) {
    ++stats_.creation_failures;
    try {
      std::rethrow_exception(error);
    } catch (const OutOfMemory& out_of_memory) {
      memory_may_come_ = dynamic_cast<const NoRoomYet*>(&out_of_memory) != nullptr;
      if (!slots_.empty() || memory_may_come_) {
        ++stats_.out_of_memory;
        no_memory_because_ = out_of_memory.what();
        no_memory_until_ = Clock::now() + kOutOfMemoryPause;
        ask_for_housekeeping(*no_memory_until_);
        is_end = false;
      }
    } catch (...) {
    }
  }
  emptied_.notify_all();
  schedule();
  return is_end;
}

void PoolCore::start_lease(PoolSlot* slot, const AcquireOptions& options, bool raw, Clock::time_point since,
                           Clock::time_point now) {
  slot->state = SlotState::kLeased;
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
  ask_for_housekeeping(later(now, options_.leak_threshold));
}

// The end of a slot's use: the next one's turn, or its own end.
void PoolCore::come_home(Lock& lock, PoolSlot* slot, std::optional<DestroyReason> doom) {
  if (doom) {
    refill_ = true;
    Instances gone;
    gone.push_back(remove(slot, *doom));
    destroy(lock, std::move(gone));
    return;
  }
  make_idle(slot);
  schedule();
}

// Why the instance can't be used again; nothing if it can.
std::optional<DestroyReason> PoolCore::doom_of(const PoolSlot& slot, Clock::time_point now) const {
  if (closed_) return DestroyReason::kClosed;
  if (lost_devices_.contains(slot.instance->metadata_.device)) return DestroyReason::kLost;
  if (!options_.enabled || slot.destroy_after_use) return DestroyReason::kAfterUse;
  if (slot.generation != generation_) return DestroyReason::kCleanup;
  if (static_cast<int64_t>(slots_.size()) > max_instances_) return DestroyReason::kResized;
  if (options_.max_uses && slot.instance->metadata_.use_count >= static_cast<uint64_t>(*options_.max_uses)) {
    return DestroyReason::kWornOut;
  }
  if (options_.max_lifetime && now >= later(slot.created_at, *options_.max_lifetime)) return DestroyReason::kOld;
  return std::nullopt;
}

void PoolCore::check_open() const {
  if (closed_) throw PoolClosed(fmt::format("pool {} is closed", options_.name));
}

void PoolCore::check_process() const {
  if (!is_parents()) return;
  fail(ErrorCode::kUnsupported,
       "pool {} belongs to the process that process {} was forked from, and neither threads nor locks survive a fork: "
       "make a new one after forking",
       options_.name, getpid());
}

}  // namespace remuda
