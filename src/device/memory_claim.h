// What a computation will take of memory, reserved before it takes any of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "device/memory_budget.h"

namespace remuda {

// What a computation waits for.
struct MemoryNeed {
  uint64_t bytes = 0;
  // Bytes of the weights that it computes with: they stay as long as it does.
  uint64_t weights = 0;
  std::string_view what = {};  // For messages.
};

// The most that one computation will have of a budget's memory at once. What it takes then, under
// MemoryRequest::claimed, neither waits nor fails.
//
// Nobody waits with a claim in hand: one that is to grow does so at once or not at all, and one that waits has nothing.
// So whoever has memory goes on until it gives it back, and no two computations wait for each other. Those that wait do
// so in turn, and until they have been served no claim grows.
//
// Belongs to one thread at a time; outlives what is taken under it, and not its budget.
class MemoryClaim {
 public:
  using Clock = MemoryBudget::Clock;

  // Null: no budget, whatever is claimed is had.
  explicit MemoryClaim(MemoryBudget* budget) : budget_(budget) {}
  ~MemoryClaim();
  MemoryClaim(const MemoryClaim&) = delete;
  MemoryClaim& operator=(const MemoryClaim&) = delete;

  uint64_t bytes() const { return bytes_; }
  // What try_set() would have at this moment without evicting anything.
  uint64_t attainable() const;

  // The most that it can ever come to beside weights of so many bytes.
  uint64_t most_beside(uint64_t weights) const;

  // From now on so many bytes, more than before or fewer. Where there is no room for more, or others wait, evicts what
  // is idle, and where that isn't enough returns false, with the claim as it was. Never waits.
  bool try_set(uint64_t bytes);

  // For a claim of nothing: waits until it has what is needed, at most `patience`; false where it doesn't have it by
  // then, and is to be called again, as long as it is wanted. Throws OutOfMemory at once where the limit has no room
  // for that beside the weights, and when for MemoryBudget::kLongestWait nobody who has a claim has done anything;
  // TimeoutError at the end of this thread's MemoryWait.
  bool wait_for(const MemoryNeed& need, Clock::duration patience);
  // The same, however long it takes.
  void wait_for(const MemoryNeed& need);
  // It isn't wanted any more.
  void give_up_waiting();

  // Tells those who wait that the computation goes on.
  void report_progress();

 private:
  friend class MemoryBudget;
  // One that waits.
  struct Turn {
    Clock::time_point since;
    Clock::time_point last_progress;
    uint64_t progress = 0;  // Of the budget, then.
    Clock::time_point next_look_at_device;
    bool is_here = false;  // In wait_for(), so that its turn can come.
  };

  bool may_be_served() const;
  bool look(MemoryBudget::Lock& lock, const MemoryNeed& need);

  MemoryBudget* const budget_;
  uint64_t bytes_ = 0;
  std::optional<Turn> turn_;  // Guarded by the budget's mutex.
};

}  // namespace remuda
