// The pool itself, for instances of any kind.
//
// Every instance has a slot, and every slot is in one state, changed under the mutex. Creating and destroying
// instances, which may take seconds and may call back into this or another pool, happens without it: meanwhile the slot
// is kCreating, or is counted in destroying_.
//
// Invariants, whenever the mutex is free:
//  1. slots_.size() + destroying_ <= max_instances_, unless resize() lowered the bound or the pool is not enabled.
//  2. There is no waiter that could be served: schedule() runs after every change that could let one go on. What a
//     waiter is given (a leased slot, or one to create an instance in) is its own from that moment, so nobody can come
//     between, and a waiter that finds itself served at its deadline is served.
//  3. A slot of an earlier generation than generation_ (cleanup() raises it) is never given out again.
#pragma once

#include <array>
#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "remuda/model_pool.h"

namespace remuda {

enum class SlotState { kCreating, kIdle, kLeased };

struct PoolSlot {
  using Clock = Deadline::Clock;

  SlotState state = SlotState::kCreating;
  std::unique_ptr<ModelInstance> instance;  // Null while kCreating.
  uint64_t generation = 0;
  std::list<PoolSlot>::iterator position;  // In PoolCore::slots_.

  // Of the present lease.
  Clock::time_point leased_at;
  int64_t holder = 0;  // Thread id.
  std::string label;
  bool destroy_after_use = false;
  bool given_raw = false;  // By get_instance.
  bool reported = false;   // As a leak.
};

class PoolCore {
 public:
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
  PoolStats get_pool_stats();

 private:
  using Clock = Deadline::Clock;
  using Lock = std::unique_lock<std::mutex>;
  using Instances = std::vector<std::unique_ptr<ModelInstance>>;
  static constexpr size_t kPriorities = 3;

  // A caller in acquire(). Lives on its stack.
  struct Waiter {
    std::condition_variable served;
    PoolSlot* slot = nullptr;  // What it was given.
    std::list<Waiter*>::iterator position;
  };

  bool has_room() const;
  Waiter* first_waiter();
  int64_t waiting() const;
  void schedule();
  PoolSlot* take_idle();
  PoolSlot* add_slot();
  PoolSlot* wait_for_slot(Lock& lock, const AcquireOptions& options, Deadline deadline, Clock::time_point since);
  void create(Lock& lock, PoolSlot* slot);
  void start_lease(PoolSlot* slot, const AcquireOptions& options, bool raw, Clock::time_point since,
                   Clock::time_point now);
  bool is_reusable(const PoolSlot& slot) const;
  std::unique_ptr<ModelInstance> remove(PoolSlot* slot);
  Instances remove_idle(int64_t most);
  void destroy(Lock& lock, Instances instances);
  Clock::time_point report_leaks(Clock::time_point now);
  std::string describe_holders(Clock::time_point now) const;
  void check_open() const;

  const PoolOptions options_;
  const PoolHandle::Factory factory_;

  std::mutex mutex_;
  // All below are guarded by mutex_.
  std::condition_variable emptied_;  // cleanup() waits here for slots to go.
  std::list<PoolSlot> slots_;
  std::vector<PoolSlot*> idle_;  // The most recently used last, and the first to be used again: its caches are warm.
  std::array<std::list<Waiter*>, kPriorities> waiters_;
  int64_t max_instances_;
  int64_t creating_ = 0;
  int64_t destroying_ = 0;
  uint64_t generation_ = 0;
  bool closed_ = false;
  PoolStats stats_;  // The counters and histograms; the rest is filled in for each snapshot.
};

}  // namespace remuda
