// What every manager of a kind of model does: it owns a bounded pool of instances and leases them out.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "remuda/model_instance.h"
#include "remuda/model_pool.h"
#include "remuda/settings.h"

namespace remuda {

// The pool options that settings ask for; `fallbacks` as PoolOptions has it.
PoolOptions pool_options(const Settings& settings, std::string name,
                         std::shared_ptr<const std::atomic<uint64_t>> fallbacks = nullptr);

// What the process has of the memory of GPUs that a pool's instances are on.
void add_gpu_memory(PoolStats& stats);

// What those who hold memory may do with a manager's pool: look at it, and have back what is idle when memory is full.
struct PoolControl {
  std::function<PoolStats()> stats;
  std::function<std::optional<std::chrono::steady_clock::time_point>()> least_recent_use;
  std::function<bool(std::chrono::steady_clock::time_point)> evict_idle;
  std::function<void()> cleanup;
  // ModelPool's; a pool of what computes on no GPU may have none.
  std::function<int64_t(const std::string& device)> evict_idle_on = nullptr;
  std::function<int64_t(const std::string& device)> lose_device = nullptr;
};

class ManagedPool;

// Lets them do it until the object is gone; its destructor waits for those who look at the pool.
class PoolRegistration {
 public:
  PoolRegistration(const Settings& settings, PoolControl control);
  ~PoolRegistration();
  PoolRegistration(const PoolRegistration&) = delete;
  PoolRegistration& operator=(const PoolRegistration&) = delete;

  const std::shared_ptr<ManagedPool>& pool() const { return pool_; }

 private:
  std::shared_ptr<ManagedPool> pool_;
};

// A manager of `Instance`s, a type derived from ModelInstance. A subclass names its model and makes
// instances; it must call close() in its destructor, before the members that make_instance() uses are gone.
//
// All member functions are thread-safe. Leases may outlive the manager.
template <typename Instance>
class AbstractModelManager {
 public:
  virtual ~AbstractModelManager() = default;
  AbstractModelManager(const AbstractModelManager&) = delete;
  AbstractModelManager& operator=(const AbstractModelManager&) = delete;

  virtual std::string model_name() const = 0;
  virtual std::string model_type() const = 0;
  // Where instances compute, for example "cpu"; of several devices, that of most, or of the first to come.
  virtual std::string get_device() const = 0;

  // Waits for an instance, or makes one where the pool has room. Throws TimeoutError, Overloaded,
  // Error(kCancelled), PoolClosed, and whatever making an instance throws.
  Lease<Instance> acquire(const AcquireOptions& options = {}) { return pool_.acquire(options); }
  // A lease if one can be had without waiting for another caller.
  std::optional<Lease<Instance>> try_acquire() { return pool_.try_acquire(); }

  // For callers that can't hold a Lease: what get_instance gives must be given to release_instance exactly
  // once.
  Instance* get_instance(std::optional<std::chrono::nanoseconds> timeout = std::nullopt) {
    return pool_.get_instance(timeout);
  }
  void release_instance(Instance* instance) { pool_.release_instance(instance); }

  PoolStats get_pool_stats() const {
    PoolStats stats = pool_.get_pool_stats();
    add_gpu_memory(stats);
    return stats;
  }
  // Callers in the pool's queue; cheaper than all statistics.
  int64_t waiting() const { return pool_.waiting(); }
  // Leases held longer than the settings' leak_threshold.
  std::vector<LeakReport> leaks() const { return pool_.leaks(); }

  // Loads the model by making an instance if there is none, so that the first request finds it there.
  void warm_up() { pool_.warm_up(); }
  // Fewer instances now, as far as they are idle; a new bound on their number; one idle instance less, if it was not
  // used since then; the time to ask that of. As ModelPool's.
  int64_t shrink(int64_t instances) { return pool_.shrink(instances); }
  void resize(int64_t max_instances) { pool_.resize(max_instances); }
  bool evict_idle(std::chrono::steady_clock::time_point not_used_since) { return pool_.evict_idle(not_used_since); }
  std::optional<std::chrono::steady_clock::time_point> least_recent_use() const { return pool_.least_recent_use(); }

  // Destroys idle instances now and leased ones when they come home; given a timeout, waits for those.
  // Returns whether none is left. New instances are made on demand afterwards.
  bool cleanup(std::optional<std::chrono::nanoseconds> timeout = std::nullopt) { return pool_.cleanup(timeout); }
  // Final: waiters and later acquires get PoolClosed.
  virtual void close() { pool_.close(); }

 protected:
  AbstractModelManager(const Settings& settings, std::string name)
      : pool_(pool_options(settings, std::move(name), fallbacks_), [this] { return make_instance(); }),
        registration_(settings, {.stats = [this] { return pool_.get_pool_stats(); },
                                 .least_recent_use = [this] { return pool_.least_recent_use(); },
                                 .evict_idle = [this](auto not_used_since) { return pool_.evict_idle(not_used_since); },
                                 .cleanup = [this] { pool_.cleanup(); },
                                 .evict_idle_on = [this](const auto& device) { return pool_.evict_idle_on(device); },
                                 .lose_device = [this](const auto& device) { return pool_.lose_device(device); }}) {}

  // How many instances went to the CPU where a GPU was wanted; for the one who places them to count.
  const std::shared_ptr<std::atomic<uint64_t>>& fallbacks() const { return fallbacks_; }

  // Of a queue that the manager keeps before the pool's.
  void count_overload(const std::string& label) { pool_.count_overload(label); }
  // Of its calls: those whose work a GPU had no memory for, or that was lost, as PoolStats has them.
  void count_moved(int64_t calls) { pool_.count_moved(calls); }
  void count_room_waits(int64_t calls) { pool_.count_room_waits(calls); }

  // For those who hold memory that goes with the pool's instances.
  const std::shared_ptr<ManagedPool>& managed_pool() const { return registration_.pool(); }

  // Makes an instance; called without a lock, from several threads at once.
  virtual std::unique_ptr<Instance> make_instance() = 0;

 private:
  const std::shared_ptr<std::atomic<uint64_t>> fallbacks_ = std::make_shared<std::atomic<uint64_t>>(0);
  ModelPool<Instance> pool_;
  PoolRegistration registration_;
};

}  // namespace remuda
