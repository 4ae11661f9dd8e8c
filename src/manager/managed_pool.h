// The pools of all managers in the process, for those who look at them from outside: to have memory back, and to
// report.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "remuda/model_manager.h"

namespace remuda {

// A manager's pool, which may go at any time: then it is one with nothing in it. Thread-safe.
class ManagedPool {
 public:
  using Clock = std::chrono::steady_clock;

  ManagedPool(bool pinned, PoolControl control) : pinned_(pinned), control_(std::move(control)) {}

  // All that there are.
  static std::vector<std::shared_ptr<ManagedPool>> all();

  // Must not be asked to give anything back.
  bool is_pinned() const { return pinned_; }
  std::optional<PoolStats> stats() const;
  // Whether instances are on lease or being made.
  bool is_in_use() const;
  std::optional<Clock::time_point> least_recent_use() const;
  bool evict_idle(Clock::time_point not_used_since);
  void cleanup();

  // From now on the pool is gone; waits for calls that are under way.
  void detach();

 private:
  const bool pinned_;
  mutable std::mutex mutex_;
  PoolControl control_;  // Guarded by mutex_; empty when the pool is gone.
};

}  // namespace remuda
