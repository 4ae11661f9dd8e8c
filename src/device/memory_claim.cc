#include "device/memory_claim.h"

#include <algorithm>

#include "base/fail.h"

namespace remuda {
namespace {

// How often the first who waits looks for something that has become idle: nobody says so.
constexpr std::chrono::milliseconds kBetweenLooks{5};
constexpr std::chrono::milliseconds kBetweenLooksAtDevice{100};

}  // namespace

MemoryClaim::~MemoryClaim() {
  give_up_waiting();
  try_set(0);
}

uint64_t MemoryClaim::attainable() const {
  if (budget_ == nullptr) return UINT64_MAX;
  const std::lock_guard lock(budget_->mutex_);
  return may_be_served() ? bytes_ + budget_->unclaimed() : bytes_;
}

uint64_t MemoryClaim::most_beside(uint64_t weights) const {
  if (budget_ == nullptr) return UINT64_MAX;
  const std::lock_guard lock(budget_->mutex_);
  return budget_->limit_ - std::min(budget_->limit_, weights);
}

// Whether nobody comes before it. The budget's lock is held.
bool MemoryClaim::may_be_served() const {
  for (const MemoryClaim* other : budget_->claimants_) {
    if (other == this) return true;
    if (other->turn_->is_here) return false;
  }
  return true;
}

bool MemoryClaim::try_set(uint64_t bytes) {
  if (budget_ == nullptr || bytes == bytes_) {
    bytes_ = bytes;
    return true;
  }
  MemoryBudget::Lock lock(budget_->mutex_);
  if (bytes > bytes_) {
    if (!budget_->has_looked_) budget_->look_at_device(lock);
    const uint64_t more = bytes - bytes_;
    do {
      if (!may_be_served()) return false;
    } while (more > budget_->unclaimed() && budget_->evict_one(lock));
    if (more > budget_->unclaimed()) return false;
  }
  budget_->claims_ += bytes - bytes_;
  bytes_ = bytes;
  ++budget_->progress_;
  const bool anyone_waits = budget_->waiting_ > 0;
  lock.unlock();
  if (anyone_waits) budget_->changed_.notify_all();
  return true;
}

void MemoryClaim::report_progress() {
  if (budget_ == nullptr) return;
  const std::lock_guard lock(budget_->mutex_);
  ++budget_->progress_;
}

void MemoryClaim::give_up_waiting() {
  if (budget_ == nullptr) return;
  {
    const std::lock_guard lock(budget_->mutex_);
    if (!turn_) return;
    std::erase(budget_->claimants_, this);
    turn_.reset();
  }
  budget_->changed_.notify_all();
}

bool MemoryClaim::wait_for(const MemoryNeed& need, Clock::duration patience) {
  if (budget_ == nullptr) {
    bytes_ = need.bytes;
    return true;
  }
  check_invariant(bytes_ == 0, "a claim that waits has nothing");
  MemoryBudget::Lock lock(budget_->mutex_);
  if (!turn_) {
    const Clock::time_point now = Clock::now();
    turn_ = {.since = now, .last_progress = now, .progress = budget_->progress_, .next_look_at_device = now};
    budget_->claimants_.push_back(this);
  }
  turn_->is_here = true;
  ++budget_->waiting_;
  // However this ends; one that has thrown is out of the queue.
  struct Place {
    MemoryClaim& claim;
    bool stays = false;

    ~Place() {
      --claim.budget_->waiting_;
      claim.turn_->is_here = false;
      if (!stays) {
        std::erase(claim.budget_->claimants_, &claim);
        claim.turn_.reset();
      }
      claim.budget_->changed_.notify_all();
    }
  } place{*this};
  const Clock::time_point start = Clock::now();
  const Clock::time_point end =
      patience < Clock::time_point::max() - start ? start + patience : Clock::time_point::max();
  for (;;) {
    if (look(lock, need)) return true;
    const Clock::time_point now = Clock::now();
    if (now >= end) {
      place.stays = true;
      return false;
    }
    budget_->changed_.wait_until(lock, std::min(end, now + kBetweenLooks));
  }
}

void MemoryClaim::wait_for(const MemoryNeed& need) { wait_for(need, Clock::duration::max()); }

// One look at what there is. Returns whether the claim has what it needs.
bool MemoryClaim::look(MemoryBudget::Lock& lock, const MemoryNeed& need) {
  MemoryBudget& budget = *budget_;
  const MemoryRequest request{.bytes = need.bytes, .what = need.what};
  const bool is_first_look = turn_->next_look_at_device == turn_->since;
  Clock::time_point now = Clock::now();
  if (now >= turn_->next_look_at_device) {
    turn_->next_look_at_device = now + kBetweenLooksAtDevice;
    budget.look_at_device(lock);
  }
  const bool never_fits = need.bytes > budget.limit_ || need.weights > budget.limit_ - need.bytes;
  if (never_fits || (budget.has_nothing_to_come() && need.bytes > budget.unclaimed())) {
    budget.refuse(lock, request, std::nullopt);
  }
  do {
    if (!may_be_served()) break;
    if (need.bytes > budget.unclaimed()) continue;
    budget.claims_ += need.bytes;
    bytes_ = need.bytes;
    ++budget.progress_;
    return true;
  } while (budget.evict_one(lock));
  if (std::exchange(turn_->progress, budget.progress_) != budget.progress_) turn_->last_progress = now;
  now = Clock::now();
  const std::optional<Deadline> deadline = MemoryWait::current();
  const Clock::time_point end = deadline ? deadline->when() : turn_->last_progress + MemoryBudget::kLongestWait;
  if (now >= end) {
    budget.refuse(lock, request,
                  MemoryBudget::Waited{.since = turn_->since, .deadline_is_the_callers = deadline && !is_first_look});
  }
  return false;
}

}  // namespace remuda
