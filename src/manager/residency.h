// The stay of a model's weights in memory: what it is counted as, who uses them, and when they have to go.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "device/memory_budget.h"
#include "manager/managed_pool.h"
#include "remuda/memory_cost.h"
#include "remuda/snapshot.h"

namespace remuda {

// The weights that somebody wants.
struct WeightRequest {
  std::string key;   // The same for the same files, precision and device.
  std::string what;  // For people.
  MemoryCost cost = {};
  MemoryBudget* budget = &MemoryBudget::cpu();
};

// From the reservation, before a model is loaded, until the model is destroyed. Thread-safe.
//
// A model is idle when no pool has an instance of it on lease. It may be evicted when it has been idle for kQuiet, or
// when its minimum residence is over, ten times as long as it took to load: so what is loaded for one caller isn't
// thrown out in the pause before the next, and at most a tenth of the time goes into loading.
class Residency : public MemoryHolder {
 public:
  static constexpr std::chrono::milliseconds kQuiet{50};
  static constexpr int kResidenceByLoadTime = 10;
  static constexpr std::chrono::seconds kLongestResidence{5};

  // Those of all models that are loaded.
  static std::vector<std::shared_ptr<Residency>> all();

  // Reserves what the model will take; see MemoryBudget::reserve() for what it throws.
  explicit Residency(const WeightRequest& request);

  // The model is there. Of its bytes, `mapped` are pages of files.
  static void begin(const std::shared_ptr<Residency>& residency, uint64_t bytes, uint64_t mapped,
                    std::chrono::nanoseconds load_time);
  // The model has been destroyed.
  void end();

  // This pool has instances of the model from now on.
  void add_user(const std::shared_ptr<ManagedPool>& pool);
  // Whether it must go, so that nobody may begin to use it.
  bool is_leaving() const;
  // Returns when it has gone, when it may stay after all, or at the deadline.
  void wait_while_leaving(Deadline deadline);

  WeightsSnapshot snapshot() const;
  const std::string& device() const { return budget_->device(); }
  const std::string& key() const { return key_; }

  std::optional<Clock::time_point> idle_since() override;
  bool evict() override;
  std::optional<Clock::time_point> held_since() override;
  void drain(Clock::time_point end) override;

 private:
  std::vector<std::shared_ptr<ManagedPool>> users() const;
  // What was not used since then may be evicted.
  Clock::time_point evictable_before() const;
  bool is_pinned() const;
  bool is_over_residence(Clock::time_point now) const;
  MemoryEvent event(MemoryEvent::Kind kind, std::chrono::nanoseconds duration) const;

  const std::string key_;
  const std::string what_;
  MemoryBudget* const budget_;

  mutable std::mutex mutex_;
  // All below are guarded by mutex_.
  std::condition_variable changed_;
  Reservation weights_;
  Reservation mapped_;
  std::vector<std::weak_ptr<ManagedPool>> users_;
  Clock::time_point loaded_at_ = Clock::time_point::max();  // Not yet.
  std::chrono::nanoseconds load_time_{0};
  Clock::time_point leaving_until_ = Clock::time_point::min();
  bool ended_ = false;
};

}  // namespace remuda
