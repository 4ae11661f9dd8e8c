// The pool itself, for instances of any kind: pool_core.cc leases them out, pool_lifecycle.cc makes them fewer,
// pool_reports.cc says what happens.
//
// Every instance has a slot, and every slot is in one state, changed under the mutex. Creating and destroying
// instances, which may take seconds and may call back into this or another pool, happens without it: meanwhile the slot
// is kCreating, or is counted in destroying_. So do the callbacks of the options.
//
// Invariants, whenever the mutex is free:
//  1. slots_.size() + destroying_ <= max_instances_, unless resize() lowered the bound or the pool is not enabled.
//  2. There is no waiter that could be served: schedule() runs after every change that could let one go on. What a
//     waiter is given (a slot to lease, or one to create an instance in) is its own from that moment, so nobody can
//     come between, and a waiter that finds itself served at its deadline is served.
//  3. A slot of an earlier generation than generation_ (cleanup() raises it) is never given out again.
//  4. housekeeping_due_ is no later than the first moment at which housekeep() would have something to do.
#pragma once

#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/deadline.h"
#include "base/fork_generation.h"
#include "pool/housekeeper.h"
#include "pool/wait_queue.h"
#include "remuda/model_pool.h"

namespace remuda {

enum class SlotState {
  kCreating,
  kIdle,
  kGiven,  // To a waiter that has not woken yet.
  kLeased,
};

struct PoolSlot {
  using Clock = Deadline::Clock;

  SlotState state = SlotState::kCreating;
  std::unique_ptr<ModelInstance> instance;  // Null while kCreating.
  uint64_t generation = 0;
  std::list<PoolSlot>::iterator position;  // In PoolCore::slots_.
  Clock::time_point created_at;
  Clock::time_point unused_since;  // The end of the last lease, or of creation.

  // Of the present lease.
  Clock::time_point leased_at;
  int64_t holder = 0;  // Thread id.
  std::string label;
  bool destroy_after_use = false;
  bool given_raw = false;  // By get_instance.
  bool reported = false;   // As a leak.
};

class PoolCore : public Housekept, public std::enable_shared_from_this<PoolCore> {
 public:
  using Clock = Deadline::Clock;

  PoolCore(PoolOptions options, PoolHandle::Factory factory);

  // The slot is kLeased. Throws as ModelPool::acquire does.
  PoolSlot* acquire(const AcquireOptions& options, bool raw);
  // Null when that would mean to wait.
  PoolSlot* try_acquire();
  void release(PoolSlot* slot, bool discard);
  void release_instance(const ModelInstance* instance);

  bool cleanup(std::optional<std::chrono::nanoseconds> timeout);
  void close();
  int64_t shrink(int64_t instances);
  void resize(int64_t max_instances);
  void warm_up();
  bool evict_idle(Clock::time_point not_used_since);
  // kEvicted, or kLost, which is for good.
  int64_t destroy_idle_on(const std::string& device, DestroyReason reason);
  std::optional<Clock::time_point> least_recent_use();
  Clock::time_point housekeep() noexcept override;

  PoolStats get_pool_stats();
  std::vector<LeakReport> leaks();
  int64_t waiting();
  void count_overload(const std::string& label);
  void count(uint64_t PoolStats::* counter, int64_t more);

 private:
  using Lock = std::unique_lock<std::mutex>;

  // A call of acquire().
  struct Call {
    const AcquireOptions& options;
    Clock::time_point since;
    Deadline deadline;
    // When it gives up, if the pool has no instance then: since it found no memory for the first.
    Deadline room_deadline = Deadline::never();
  };
  struct Doomed {
    std::unique_ptr<ModelInstance> instance;
    DestroyReason reason;
  };
  using Instances = std::vector<Doomed>;

  // pool_core.cc
  PoolSlot* acquire_slowly(Lock& lock, PoolSlot* slot, Call call);
  PoolSlot* wait_for_slot(Lock& lock, const Call& call, bool is_back);
  std::exception_ptr queue_and_wait(Lock& lock, Waiter& waiter, const Call& call, bool is_back);
  std::exception_ptr wait(Lock& lock, Waiter& waiter, const Call& call);
  bool is_over(const Call& call, Clock::time_point now) const;
  [[noreturn]] void refuse(Lock& lock, const Call& call);
  [[noreturn]] void give_up(Lock& lock, const Waiter& waiter, const Call& call);
  std::optional<DestroyReason> look_at(ModelInstance& instance) const;
  bool is_healthy(ModelInstance& instance) const;
  bool has_room() const;
  bool has_instance() const;
  void schedule();
  PoolSlot* take();
  PoolSlot* add_slot();
  bool create(Lock& lock, PoolSlot* slot);
  bool drop_uncreated(PoolSlot* slot, const std::exception_ptr& error);
  void start_lease(PoolSlot* slot, const AcquireOptions& options, bool raw, Clock::time_point since,
                   Clock::time_point now);
  void come_home(Lock& lock, PoolSlot* slot, std::optional<DestroyReason> doom);
  std::optional<DestroyReason> doom_of(const PoolSlot& slot, Clock::time_point now) const;
  void check_open() const;
  bool is_parents() const { return made_in_ != fork_generation(); }
  void check_process() const;

  // pool_lifecycle.cc
  void make_idle(PoolSlot* slot);
  Doomed remove(PoolSlot* slot, DestroyReason reason);
  Doomed remove_idle(size_t index, DestroyReason reason);
  Instances remove_idle_down_to(int64_t most, DestroyReason reason);
  Instances remove_expired(Clock::time_point now);
  void destroy(Lock& lock, Instances instances);
  bool lacks_idle() const;
  bool wants_refill() const;
  bool refill(Lock& lock);
  void try_refill(Lock& lock);
  void ask_for_housekeeping(Clock::time_point when);
  Clock::time_point next_housekeeping() const;

  // pool_reports.cc
  bool is_observed() const;
  void report(PoolEvent event) const;
  void report_lease(PoolEvent::Kind kind, const PoolSlot& slot, std::chrono::nanoseconds duration) const;
  void report_waiting(PoolEvent::Kind kind, const Call& call, Clock::time_point now) const;
  void report_failed_creation(const std::exception_ptr& error, std::chrono::nanoseconds duration) const;
  std::vector<LeakReport> note_leaks(Clock::time_point now);
  void report_leaks(const std::vector<LeakReport>& leaks) const;
  std::string describe_holders(Clock::time_point now) const;

  const PoolOptions options_;
  const PoolHandle::Factory factory_;
  const uint64_t made_in_ = fork_generation();

  std::mutex mutex_;
  // All below are guarded by mutex_.
  std::condition_variable emptied_;   // cleanup() waits here for slots to go.
  std::condition_variable refilled_;  // warm_up() waits here for another's refill() to end.
  std::list<PoolSlot> slots_;
  std::vector<PoolSlot*> idle_;  // The most recently used last, and the first to be used again: its caches are warm.
  WaitQueue queue_;
  int64_t max_instances_;
  int64_t creating_ = 0;
  int64_t destroying_ = 0;
  uint64_t generation_ = 0;
  bool closed_ = false;
  // Set when making an instance failed for want of memory that may come free: until then none is made, unless one of
  // the pool's goes before.
  std::optional<Clock::time_point> no_memory_until_;
  bool memory_may_come_ = false;  // From elsewhere than of the pool's instances.
  std::string no_memory_because_;
  std::set<std::string> lost_devices_;
  Clock::time_point housekeeping_due_ = Clock::time_point::max();
  bool refill_ = false;  // Idle instances went in ways that min_idle is about.
  Clock::time_point refill_not_before_ = Clock::time_point::min();
  int refill_failures_ = 0;            // In a row.
  std::thread::id refiller_;           // Who is in refill(); of nobody otherwise.
  PoolStats stats_;                    // The counters and histograms; the rest is filled in for each snapshot.
  std::shared_ptr<PoolCore> forever_;  // Itself, in a child of fork(), where nothing of it can be destroyed.
};

// Into snapshot_pools(), and out of it.
void enlist(const std::shared_ptr<PoolCore>& pool);
void strike_off(const PoolCore* pool);

// In a catch block: what was caught.
std::string message_of_current_exception();

// The kernel's number of this thread, as debuggers and /proc show it.
int64_t this_thread();

inline double to_seconds(std::chrono::nanoseconds duration) { return std::chrono::duration<double>(duration).count(); }

// max() where the clock can't reach it.
inline PoolCore::Clock::time_point later(PoolCore::Clock::time_point time, std::chrono::nanoseconds duration) {
  return duration >= PoolCore::Clock::time_point::max() - time ? PoolCore::Clock::time_point::max() : time + duration;
}

}  // namespace remuda
