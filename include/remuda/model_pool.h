// A bounded pool of model instances, leased out in turn.
//
//   ModelPool<MyInstance> pool({.name = "mine", .max_instances = 2}, [] { return std::make_unique<MyInstance>(...); });
//   {
//     Lease<MyInstance> lease = pool.acquire({.timeout = 10s});
//     lease->use();
//   }  // Back in the pool here, also on an exception.
//
// Everything here is thread-safe except that a Lease, like any object, belongs to one thread at a time. Leases may
// outlive their pool.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "remuda/model_instance.h"
#include "remuda/pool_stats.h"

namespace remuda {

struct PoolOptions {
  std::string name = "pool";
  int64_t max_instances = 2;  // At least 1.
  bool enabled = true;        // false: every acquire makes an instance, and its release destroys it; no bound.
  int64_t max_creations = 2;  // Instances made at the same time, at least 1.
  std::chrono::nanoseconds leak_threshold = std::chrono::minutes(5);  // A lease held longer is reported.
  // Looks at an instance that comes home; false: it is destroyed. Called without a lock. May be empty.
  std::function<bool(ModelInstance&)> is_healthy = nullptr;
};

enum class Priority { kInteractive, kNormal, kBulk };

struct AcquireOptions {
  std::optional<std::chrono::nanoseconds> timeout = std::nullopt;  // For the whole wait; none: as long as it takes.
  bool destroy_after_use = false;
  Priority priority = Priority::kNormal;  // Waiters of a higher one go first; within one, first come, first served.
  std::string label = {};                 // Names the holder in reports.
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
  PoolStats get_pool_stats() const;

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
  // holds the instances and for how long; PoolClosed; and what the factory throws, which costs the pool nothing.
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
  // Final: as cleanup, and every waiter and later acquire gets PoolClosed.
  void close() { handle_.close(); }
  // Destroys idle instances until at most `instances` are left, as far as there are idle ones; returns how many went.
  int64_t shrink(int64_t instances) { return handle_.shrink(instances); }
  // Changes the bound. Instances beyond a lower one go as they become idle.
  void resize(int64_t max_instances) { handle_.resize(max_instances); }

  PoolStats get_pool_stats() const { return handle_.get_pool_stats(); }

 private:
  PoolHandle handle_;
};

}  // namespace remuda
