// Memory of a device as something that is asked for before it is taken.
//
// What is counted: weights, as they lie in memory of ours or in packed files and checkpoints that are mapped; every
// block of WorkspaceArena, in use or kept for the next, which is what intermediate results, documents' keys and values
// and caches are made of; and, while a model is loaded, what loading takes beside that.
//
// What isn't: the program itself and its threads' stacks, the tokenizer that a manager keeps of a model that was
// evicted, texts, ids and results of callers, the kernels' scratch of each thread (below 1 MiB), and what the C library
// keeps of memory that was freed. A process that embeds has 20 to 40 MiB of it; bench/budget.py measures how much.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/deadline.h"
#include "remuda/error.h"
#include "remuda/memory_budget.h"

namespace remuda {

class MemoryBudget;
class MemoryClaim;

// What of so much a budget hands out; the rest is left to others, to what isn't counted, and to what they take
// meanwhile.
uint64_t less_headroom(uint64_t attainable);

// kClaimed: workspaces that a MemoryClaim covers, and those of them that are kept for the next; see
// MemoryRequest::claimed.
enum class MemoryUse { kWeights, kMappedWeights, kWorkspace, kClaimed };

// Bytes of a budget, given back by the destructor. Move-only; belongs to one thread at a time; must not outlive its
// budget.
class Reservation {
 public:
  Reservation() = default;
  Reservation(Reservation&& other) noexcept { *this = std::move(other); }
  Reservation& operator=(Reservation&& other) noexcept;
  ~Reservation() { release(); }

  uint64_t bytes() const { return bytes_; }
  // What it turned out to be: counted as it is, however full the budget.
  void set_bytes(uint64_t bytes);
  // Goes on counting these of its bytes for another use, in a reservation of their own.
  Reservation split(uint64_t bytes, MemoryUse use);
  void release();

 private:
  friend class MemoryBudget;
  Reservation(MemoryBudget* budget, uint64_t bytes, MemoryUse use, std::optional<uint64_t> floor)
      : budget_(budget), bytes_(bytes), use_(use), floor_(floor) {}

  MemoryBudget* budget_ = nullptr;
  uint64_t bytes_ = 0;
  MemoryUse use_ = MemoryUse::kWorkspace;
  std::optional<uint64_t> floor_;  // Of a model's weights: what stays free of weights as long as they are there.
};

// What memory is wanted for.
struct MemoryRequest {
  uint64_t bytes = 0;
  MemoryUse use = MemoryUse::kWorkspace;
  std::string_view what = {};  // For messages.
  // With weights: what one computation with them takes. As much stays free of weights, so that there is always one
  // that can go on, and end, and give back what others wait for.
  uint64_t workspace = 0;
  // With a workspace: memory that is there already, or that must not be waited for. It neither waits nor fails.
  bool may_exceed = false;
  // With a workspace: part of what a MemoryClaim covers. It neither waits nor fails, as the claim has done that.
  bool claimed = false;
};

// Who has memory that can be had back: a model with the pools that use it. Called without a lock, from any thread.
class MemoryHolder {
 public:
  using Clock = Deadline::Clock;

  virtual ~MemoryHolder() = default;
  // Since when what evict() would give back has not been used; nothing where nothing may be taken now.
  virtual std::optional<Clock::time_point> idle_since() = 0;
  // Gives back what is idle and was used least recently. Returns whether there was any.
  virtual bool evict() = 0;
  // Since when it has had its memory; nothing where it must not be made to give it back.
  virtual std::optional<Clock::time_point> held_since() = 0;
  // Gives everything back as it comes free, and takes none again before it all has gone, or until `end`.
  virtual void drain(Clock::time_point end) = 0;
};

// Until when reservations of this thread may wait, as long as this object lives; objects may be nested. A thread that
// has none waits for MemoryBudget::kLongestWait.
class MemoryWait {
 public:
  explicit MemoryWait(Deadline deadline);
  ~MemoryWait();
  MemoryWait(const MemoryWait&) = delete;
  MemoryWait& operator=(const MemoryWait&) = delete;

  // Of the innermost.
  static std::optional<Deadline> current();

 private:
  const std::optional<Deadline> before_;
};

// The longest that one reservation of this thread may wait for what others use of a GPU, as long as this object lives:
// for who has another place to go to, or another way to wait. What ends meanwhile is OutOfMemory, whatever the
// deadline. Main memory there is one of: waits for that are as long as ever.
class GpuMemoryPatience {
 public:
  explicit GpuMemoryPatience(Deadline::Clock::duration longest);
  ~GpuMemoryPatience();
  GpuMemoryPatience(const GpuMemoryPatience&) = delete;
  GpuMemoryPatience& operator=(const GpuMemoryPatience&) = delete;

 private:
  const std::optional<Deadline::Clock::duration> before_;
};

// Memory that isn't there now, and that others may give back: a pool whose factory throws it lets the caller wait.
class NoRoomYet : public OutOfMemory {
 public:
  using OutOfMemory::OutOfMemory;
};

// One device's memory. Thread-safe.
//
// When something doesn't fit, in this order: what is kept for later use is given back, then idle models go, the least
// recently used first. Who wants weights waits for it in turn, first come, first served; who computes doesn't stand in
// that queue, because it is what the others wait for. A computation claims all that it will grow to before it begins,
// and nobody waits for more with a claim in hand (see MemoryClaim): so those who have memory always come to give it
// back. A model that is in use all the time is left alone for
// kPreference, and then drained: its callers queue up behind the one that waits.
class MemoryBudget {
 public:
  using Clock = Deadline::Clock;

  // How long a caller without a deadline waits for memory that others use.
  static constexpr std::chrono::seconds kLongestWait{10};
  // For how long models in use are preferred to one that waits.
  static constexpr std::chrono::milliseconds kPreference{500};
  // For how long a model is drained before another is tried.
  static constexpr std::chrono::seconds kLongestDrain{2};

  // Of main memory; of any device by its id. Never destroyed.
  static MemoryBudget& cpu();
  static MemoryBudget& of(const std::string& device);
  static std::vector<MemoryBudgetStats> all_stats();

  // available(): bytes that this process could still take of the device, nothing where nobody knows; called without a
  // lock.
  MemoryBudget(std::string device, std::function<std::optional<uint64_t>()> available);
  ~MemoryBudget();
  MemoryBudget(const MemoryBudget&) = delete;
  MemoryBudget& operator=(const MemoryBudget&) = delete;

  // Evicts and waits if need be. Throws OutOfMemory at once for what could never fit, and when the wait is over;
  // TimeoutError when that was one of this thread's MemoryWait. Their messages have the figures.
  Reservation reserve(const MemoryRequest& request);

  // A limit as long as the object lives; of several, the smallest holds. What is above a lower one goes if it is idle,
  // and else when it comes free.
  class Limit {
   public:
    Limit() = default;
    Limit(Limit&& other) noexcept : budget_(std::exchange(other.budget_, nullptr)), bytes_(other.bytes_) {}
    Limit& operator=(Limit&& other) noexcept;
    ~Limit();

   private:
    friend class MemoryBudget;
    Limit(MemoryBudget* budget, uint64_t bytes) : budget_(budget), bytes_(bytes) {}

    MemoryBudget* budget_ = nullptr;
    uint64_t bytes_ = 0;
  };
  Limit limit_to(uint64_t bytes);

  // Who can be asked to give memory back, until it is gone.
  void add_holder(std::weak_ptr<MemoryHolder> holder);
  // Called, without a lock, to give back what is kept for later use.
  void add_cache(std::function<void()> give_back);
  // Has all of them give back.
  void empty_caches();

  // For who was refused by the device, though there was room here: looks at what the device has, and evicts the idle
  // instance that was least recently used. Returns whether there was one, so that it is worth another try.
  bool make_room_on_device();

  // Claims so much more for a workspace that is larger than what was asked for, where there is room at this moment;
  // unclaim() gives it back.
  bool claim_more(uint64_t bytes);
  void unclaim(uint64_t bytes);
  // Whether more is taken than the limit allows.
  bool is_over_limit() const;

  // All that could be had if remuda had nothing: what is available and what remuda has of its own; looked at now.
  uint64_t attainable();
  // Bytes beside all weights, whatever workspaces have of them; 0 where a limit was lowered. The limit is looked at
  // now.
  uint64_t left_by_weights();
  MemoryBudgetStats stats() const;
  const std::string& device() const { return device_; }

  // Of a model whose weights have come or gone, for stats() and for those who listen to events.
  void report(const MemoryEvent& event);

 private:
  friend class Reservation;
  friend class MemoryClaim;
  using Lock = std::unique_lock<std::mutex>;
  struct Wait;

  uint64_t workspaces() const { return workspaces_ + claimed_workspaces_; }
  uint64_t used() const { return weights_ + mapped_weights_ + workspaces(); }
  // What workspaces will come to, those that were claimed and aren't taken yet included.
  uint64_t promised() const { return workspaces_ + std::max(claims_, claimed_workspaces_); }
  // Whether under a limit that was configured nobody but the one model that is there, without a claim, has any of it.
  bool has_nothing_to_come() const {
    const bool is_configured = !limits_.empty() && *limits_.begin() == limit_;
    return is_configured && workspaces_ == 0 && claims_ == 0 && floors_.size() <= 1;
  }
  // Bytes that nobody has claimed; those that are kept for later use are among them.
  uint64_t unclaimed() const;
  uint64_t& counter(MemoryUse use);
  // The longest that a reservation of this thread may wait; nothing where it is not limited.
  std::optional<Clock::duration> patience() const;
  bool fits(const MemoryRequest& request) const;
  bool can_ever_fit(const MemoryRequest& request) const;
  Reservation take(const MemoryRequest& request);
  void give_back(uint64_t bytes, MemoryUse use, std::optional<uint64_t> floor);
  void look_at_device(Lock& lock);
  void update_limit();
  Reservation reserve_slowly(Lock& lock, const MemoryRequest& request);
  bool make_room(Lock& lock, const MemoryRequest& request, Wait& wait);
  std::vector<std::shared_ptr<MemoryHolder>> holders();
  bool evict_one(Lock& lock);
  void drain_one(Lock& lock, Clock::time_point end);
  void give_caches_back(Lock& lock);
  void lower_to_limit();
  // A wait that is over; nothing: there was none.
  struct Waited {
    Clock::time_point since;
    bool deadline_is_the_callers = false;
  };
  Waited waited(const Wait& wait) const;
  [[noreturn]] void refuse(Lock& lock, const MemoryRequest& request, const std::optional<Waited>& wait);

  const std::string device_;
  const std::function<std::optional<uint64_t>()> available_;

  mutable std::mutex mutex_;
  // All below are guarded by mutex_.
  std::condition_variable changed_;  // Memory was given back, or the queue moved.
  uint64_t weights_ = 0;
  uint64_t mapped_weights_ = 0;
  uint64_t workspaces_ = 0;             // Without a claim.
  uint64_t claimed_workspaces_ = 0;     // With one, and what is kept of them.
  uint64_t claims_ = 0;                 // What all claims come to.
  std::deque<MemoryClaim*> claimants_;  // Those that have nothing and wait for it, in turn.
  uint64_t progress_ = 0;  // Counts what those with claims have done; whoever waits sees that they do something.
  uint64_t limit_;
  bool has_looked_ = false;                // At the device.
  std::multiset<uint64_t> limits_;         // Configured.
  std::multiset<uint64_t> floors_;         // Workspaces that weights leave room for.
  std::optional<uint64_t> available_now_;  // When the device was looked at last.
  std::optional<uint64_t> found_;          // The limit that follows from it.
  std::deque<Wait*> queue_;                // For weights.
  int64_t waiting_ = 0;
  std::vector<std::weak_ptr<MemoryHolder>> holders_;
  std::vector<std::function<void()>> caches_;
  MemoryBudgetStats stats_;  // Counters.
};

}  // namespace remuda
