// A bounded pool of model instances, leased out in turn.
//
//   ModelPool<MyInstance> pool({.name = "mine", .max_instances = 2}, [] { return std::make_unique<MyInstance>(...); });
//   {
//     Lease<MyInstance> lease = pool.acquire({.timeout = 10s});
//     lease->use();
//   }  // Back in the pool here, also on an exception.
//
// Everything here is thread-safe except that a Lease, like any object, belongs to one thread at a time. Leases may
// outlive their pool. Only the steady clock is looked at: setting the system's changes nothing.
//
// fork(): a pool belongs to the process that made it. In a child, every call of a pool of the parent's throws
// Error(kUnsupported), at once; leases and pools can be released and destroyed there, which leaves the child's copy of
// the instances alone. A pool made in the child is as good as any.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "remuda/model_instance.h"
#include "remuda/pool_events.h"
#include "remuda/pool_stats.h"

namespace remuda {

// Durations of 0 or less, where they would mean "destroy at once", are refused: leave the option unset for "never".
//
// What is due while nobody calls (idle_ttl, max_lifetime, min_idle, reports of leaks) is done by one thread that all
// pools of the process share. It sleeps until the next of these moments. It makes and destroys instances itself, so
// that one that takes long to make or destroy delays what is due in other pools, but no lease.
struct PoolOptions {
  std::string name = "pool";
  int64_t max_instances = 2;  // At least 1.
  bool enabled = true;        // false: every acquire makes an instance, and its release destroys it; no bound.
  int64_t max_creations = 2;  // Instances made at the same time, at least 1.
  std::chrono::nanoseconds leak_threshold = std::chrono::minutes(5);  // A lease held longer is reported.
  // Looks at an instance that comes home; false: it is destroyed. Called without a lock. May be empty.
  std::function<bool(ModelInstance&)> is_healthy = nullptr;
  std::optional<std::chrono::nanoseconds> idle_ttl = std::nullopt;  // An instance unused for so long is destroyed.
  // An instance that was made so long ago is destroyed, one on lease when it comes home.
  std::optional<std::chrono::nanoseconds> max_lifetime = std::nullopt;
  std::optional<int64_t> max_uses = std::nullopt;  // After so many leases an instance is destroyed; at least 1.
  // Instances to have idle, as far as max_instances leaves room: made by warm_up, and in the background when leases or
  // the three options above took some. Idle ones that are evicted, shrunk or cleaned up are not replaced before that.
  int64_t min_idle = 0;
  // How many callers may wait; one more gets Overloaded at once. 0: nobody waits.
  std::optional<int64_t> max_waiting = std::nullopt;
  // Called without a lock, on the thread on which it happened. What it throws is logged and dropped.
  std::function<void(const PoolEvent&)> on_event = nullptr;
  // Counted by who makes the instances, shown by PoolStats::fallbacks. May be null.
  std::shared_ptr<const std::atomic<uint64_t>> fallbacks = nullptr;
};

// Waiters of a higher priority go first; within one, first come, first served. Nobody starves: when kMostOvertakings
// turns in a row went to higher priorities, the first waiter of a lower one is next. So a waiter with n of its own
// priority before it is served after at most (n + 1) * (kMostOvertakings + 2) turns, whoever comes meanwhile.
enum class Priority { kInteractive, kNormal, kBulk };
inline constexpr int64_t kMostOvertakings = 16;

// What ends a wait leaves the queue as if this caller had never come. A caller that was given an instance has it,
// whatever happens at the same moment.
struct AcquireOptions {
  std::optional<std::chrono::nanoseconds> timeout = std::nullopt;  // For the whole wait; none: as long as it takes.
  bool destroy_after_use = false;
  Priority priority = Priority::kNormal;
  std::string label = {};  // Names the holder in reports.
  // request_stop() frees the waiter's place before it returns, and acquire throws Error(kCancelled).
  std::stop_token stop_token = {};
  // The same for callers that nothing can tell: looked at about every 10 ms while waiting, on the waiting thread and
  // without a lock; true is a cancellation, and what it throws ends the wait too. May be empty.
  std::function<bool()> cancelled = nullptr;
};

class PoolCore;
struct PoolSlot;

// Holds an instance without knowing its type. Move-only; releases in its destructor.
class LeaseBase {
 public:
  LeaseBase(LeaseBase&& other) noexcept;
  LeaseBase& operator=(LeaseBase&& other) noexcept;
  ~LeaseBase();

  // Gives the instance back now. Does nothing on a lease that was released or moved from.
  void release();
  // Gives the instance back to be destroyed, not pooled: for one whose use failed in a way that may have damaged it.
  void discard();

 protected:
  ModelInstance* instance() const;

 private:
  friend class PoolHandle;
  LeaseBase(std::shared_ptr<PoolCore> core, PoolSlot* slot) : core_(std::move(core)), slot_(slot) {}

  std::shared_ptr<PoolCore> core_;
  PoolSlot* slot_;
};

template <typename Instance>
class Lease : public LeaseBase {
 public:
  // Null after release().
  Instance* get() const { return static_cast<Instance*>(instance()); }
  Instance& operator*() const { return *get(); }
  Instance* operator->() const { return get(); }

 private:
  template <typename>
  friend class ModelPool;
  explicit Lease(LeaseBase&& base) : LeaseBase(std::move(base)) {}
};

// What all pools are, compiled once; see ModelPool.
class PoolHandle {
 public:
  using Factory = std::function<std::unique_ptr<ModelInstance>()>;

  PoolHandle(PoolOptions options, Factory factory);
  ~PoolHandle();  // As close().
  PoolHandle(const PoolHandle&) = delete;
  PoolHandle& operator=(const PoolHandle&) = delete;

  LeaseBase acquire(const AcquireOptions& options);
  std::optional<LeaseBase> try_acquire();
  ModelInstance* get_instance(std::optional<std::chrono::nanoseconds> timeout);
  void release_instance(const ModelInstance* instance);
  bool cleanup(std::optional<std::chrono::nanoseconds> timeout);
  void close();
  int64_t shrink(int64_t instances);
  void resize(int64_t max_instances);
  void warm_up();
  bool evict_idle(std::chrono::steady_clock::time_point not_used_since);
  std::optional<std::chrono::steady_clock::time_point> least_recent_use() const;
  std::vector<LeakReport> leaks() const;
  PoolStats get_pool_stats() const;
  int64_t waiting() const;
  void count_overload(const std::string& label);
  int64_t evict_idle_on(const std::string& device);
  int64_t lose_device(const std::string& device);
  void count_moved(int64_t calls);
  void count_room_waits(int64_t calls);

 private:
  std::shared_ptr<PoolCore> core_;
};

// Instance derives from ModelInstance.
template <typename Instance>
class ModelPool {
 public:
  using Factory = std::function<std::unique_ptr<Instance>()>;

  // `factory` is called without a lock, from several threads at once. Throws Error(kInvalidArgument).
  ModelPool(PoolOptions options, Factory factory) : handle_(std::move(options), std::move(factory)) {}

  // An idle instance, a new one where there is room, or a place in the queue. Throws TimeoutError, which says who
  // holds the instances and for how long; Overloaded; Error(kCancelled); PoolClosed; and what the factory throws, which
  // costs the pool nothing. But where the factory throws OutOfMemory while the pool has other instances, or for
  // memory that others may give back, the caller goes back to the head of its queue instead, for one of those or for
  // another attempt when memory may have come free. Where there are no others, that ends at its deadline, or after 10 s
  // without one, with OutOfMemory.
  Lease<Instance> acquire(const AcquireOptions& options = {}) { return Lease<Instance>(handle_.acquire(options)); }
  // An idle instance or a new one; nothing where that would mean to wait for another caller.
  std::optional<Lease<Instance>> try_acquire() {
    std::optional<LeaseBase> lease = handle_.try_acquire();
    if (!lease) return std::nullopt;
    return Lease<Instance>(std::move(*lease));
  }

  // For callers that can't hold a Lease. release_instance throws Error(kInvalidArgument), and changes nothing, when
  // the instance is not on lease from this pool's get_instance: returned already, or another pool's.
  Instance* get_instance(std::optional<std::chrono::nanoseconds> timeout = std::nullopt) {
    return static_cast<Instance*>(handle_.get_instance(timeout));
  }
  void release_instance(const Instance* instance) { handle_.release_instance(instance); }

  // Destroys idle instances now, and those on lease when they come home; given a timeout, waits for those. Returns
  // whether all are gone. The pool makes new ones on demand.
  bool cleanup(std::optional<std::chrono::nanoseconds> timeout = std::nullopt) { return handle_.cleanup(timeout); }
  // Final: as cleanup, and every waiter and later acquire gets PoolClosed. Waits where the background thread is in this
  // pool, so that afterwards the factory and the callbacks are called for leases that come home, and otherwise no more.
  void close() { handle_.close(); }
  // Destroys idle instances until at most `instances` are left, as far as there are idle ones; returns how many went.
  // The bound stays. Throws Error(kInvalidArgument) for a negative number.
  int64_t shrink(int64_t instances) { return handle_.shrink(instances); }
  // Changes the bound, at least 1. Instances beyond a lower one go as they become idle.
  void resize(int64_t max_instances) { handle_.resize(max_instances); }
  // Makes an instance if there is none, and min_idle of them as far as there is room, on this thread. Throws as
  // acquire.
  void warm_up() { handle_.warm_up(); }
  // Destroys the idle instance that was least recently used, if its last use (or its making) ended before
  // `not_used_since`. Returns whether there was one; when this returns, it is gone.
  bool evict_idle(std::chrono::steady_clock::time_point not_used_since) { return handle_.evict_idle(not_used_since); }
  // When that one's last use ended; nothing where no instance is idle.
  std::optional<std::chrono::steady_clock::time_point> least_recent_use() const { return handle_.least_recent_use(); }
  // The leases held longer than leak_threshold now, the oldest first.
  std::vector<LeakReport> leaks() const { return handle_.leaks(); }

  PoolStats get_pool_stats() const { return handle_.get_pool_stats(); }
  // Callers in the queue: one of those figures, without the price of all.
  int64_t waiting() const { return handle_.waiting(); }
  // For who keeps a queue of his own before the pool: somebody was refused there. Counts as `overloaded` and is an
  // event like the pool's own refusals.
  void count_overload(const std::string& label) { handle_.count_overload(label); }

  // Destroys the idle instances on a device that has no memory left; returns how many went.
  int64_t evict_idle_on(const std::string& device) { return handle_.evict_idle_on(device); }
  // The device is lost: the same, and those on lease are destroyed when they come home.
  int64_t lose_device(const std::string& device) { return handle_.lose_device(device); }
  // For who has calls of his own: so many went on elsewhere, or waited, as PoolStats has them.
  void count_moved(int64_t calls) { handle_.count_moved(calls); }
  void count_room_waits(int64_t calls) { handle_.count_room_waits(calls); }

 private:
  PoolHandle handle_;
};

}  // namespace remuda
