// The pool of a manager for those who hold memory that goes with its instances, to have that back.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "remuda/model_manager.h"

namespace remuda {

// A manager's pool, which may go at any time: then it is one with nothing in it. Thread-safe. Nothing is locked while
// the pool is looked at: what goes with an instance may be anything, another manager's calls or its own end.
class ManagedPool {
 public:
  using Clock = std::chrono::steady_clock;

  ManagedPool(bool pinned, PoolControl control) : pinned_(pinned), control_(std::move(control)) {}

  // Must not be asked to give anything back.
  bool is_pinned() const { return pinned_; }
  std::optional<PoolStats> stats() const;
  // Whether instances are on lease or being made.
  bool is_in_use() const;
  std::optional<Clock::time_point> least_recent_use() const;
  bool evict_idle(Clock::time_point not_used_since);
  void cleanup();
  // Idle instances on a device that has no memory left, and how many.
  int64_t evict_idle_on(const std::string& device);
  // All that is on it goes, what is on lease when it comes home.
  int64_t lose_device(const std::string& device);

  // From now on the pool is gone; waits for other threads' calls that are under way.
  void detach();

 private:
  class Look;

  const bool pinned_;
  const PoolControl control_;
  mutable std::mutex mutex_;
  // All below are guarded by mutex_.
  mutable std::condition_variable looked_;
  mutable int64_t looks_ = 0;
  bool is_gone_ = false;
};

}  // namespace remuda
