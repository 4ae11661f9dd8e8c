#include "device/memory_budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/fail.h"
#include "base/log.h"
#include "device/devices.h"

namespace remuda {
namespace {

constexpr uint64_t kNoLimit = UINT64_MAX;

// Of what a device has for this process: left to others, to what isn't counted, and to what they take meanwhile.
constexpr uint64_t kHeadroomPart = 20;
constexpr uint64_t kLeastHeadroom = uint64_t{64} << 20;
constexpr uint64_t kMostHeadroomPart = 4;

// How often the first who waits looks for something that has become idle: nobody says so.
constexpr std::chrono::milliseconds kBetweenLooks{5};
// How often whoever waits looks at what the device has.
constexpr std::chrono::milliseconds kBetweenLooksAtDevice{100};

double seconds(MemoryBudget::Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

// What an innermost MemoryWait says.
thread_local std::optional<Deadline> wait_until;

// What an innermost GpuMemoryPatience says.
thread_local std::optional<MemoryBudget::Clock::duration> longest_wait_for_gpu;

using Hook = std::function<void(const MemoryEvent&)>;

struct HookHolder {
  std::mutex mutex;
  std::shared_ptr<const Hook> hook;  // Guarded by mutex.
};

HookHolder& hook_holder() {
  static auto* const holder = new HookHolder;
  return *holder;
}

void emit(const MemoryEvent& event) {
  log::debug("memory of {}: {} {}, {} bytes, {:.1f} ms", event.device, to_string(event.kind), event.what, event.bytes,
             1e3 * seconds(event.duration));
  std::shared_ptr<const Hook> hook;
  {
    const std::lock_guard lock(hook_holder().mutex);
    hook = hook_holder().hook;
  }
  if (hook == nullptr) return;
  try {
    (*hook)(event);
  } catch (const std::exception& error) {
    log::warning("the hook for memory events failed: {}", error.what());
  } catch (...) {
    log::warning("the hook for memory events failed");
  }
}

struct Budgets {
  std::mutex mutex;
  std::map<std::string, std::unique_ptr<MemoryBudget>> by_device;  // Guarded by mutex.
};

Budgets& budgets() {
  static auto* const all = new Budgets;
  return *all;
}

}  // namespace

uint64_t less_headroom(uint64_t attainable) {
  const uint64_t wanted = std::max(attainable / kHeadroomPart, kLeastHeadroom);
  return attainable - std::min(wanted, attainable / kMostHeadroomPart);
}

std::string_view to_string(MemoryEvent::Kind kind) {
  switch (kind) {
    case MemoryEvent::Kind::kLoaded:
      return "loaded";
    case MemoryEvent::Kind::kUnloaded:
      return "unloaded";
    case MemoryEvent::Kind::kEvicted:
      return "evicted";
    case MemoryEvent::Kind::kDrained:
      return "drained";
    case MemoryEvent::Kind::kRefused:
      return "refused";
  }
  return "unknown";
}

void on_memory_event(std::function<void(const MemoryEvent&)> hook) {
  auto shared = hook ? std::make_shared<const Hook>(std::move(hook)) : nullptr;
  const std::lock_guard lock(hook_holder().mutex);
  hook_holder().hook.swap(shared);
}

Reservation& Reservation::operator=(Reservation&& other) noexcept {
  if (this == &other) return *this;
  release();
  budget_ = std::exchange(other.budget_, nullptr);
  bytes_ = std::exchange(other.bytes_, 0);
  use_ = other.use_;
  floor_ = std::exchange(other.floor_, std::nullopt);
  return *this;
}

void Reservation::set_bytes(uint64_t bytes) {
  check_invariant(budget_ != nullptr, "a reservation that is changed is one");
  {
    const std::lock_guard lock(budget_->mutex_);
    budget_->counter(use_) += bytes - bytes_;
    bytes_ = bytes;
    budget_->stats_.peak = std::max(budget_->stats_.peak, budget_->used());
  }
  budget_->changed_.notify_all();
}

Reservation Reservation::split(uint64_t bytes, MemoryUse use) {
  check_invariant(budget_ != nullptr && bytes <= bytes_, "a part of a reservation is none larger than it");
  const std::lock_guard lock(budget_->mutex_);
  budget_->counter(use_) -= bytes;
  budget_->counter(use) += bytes;
  bytes_ -= bytes;
  return Reservation(budget_, bytes, use, std::nullopt);
}

void Reservation::release() {
  if (budget_ == nullptr) return;
  std::exchange(budget_, nullptr)->give_back(std::exchange(bytes_, 0), use_, std::exchange(floor_, std::nullopt));
}

MemoryWait::MemoryWait(Deadline deadline) : before_(wait_until) { wait_until = deadline; }

MemoryWait::~MemoryWait() { wait_until = before_; }

std::optional<Deadline> MemoryWait::current() { return wait_until; }

GpuMemoryPatience::GpuMemoryPatience(Deadline::Clock::duration longest) : before_(longest_wait_for_gpu) {
  longest_wait_for_gpu = longest;
}

GpuMemoryPatience::~GpuMemoryPatience() { longest_wait_for_gpu = before_; }

MemoryBudget::Limit& MemoryBudget::Limit::operator=(Limit&& other) noexcept {
  std::swap(budget_, other.budget_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

MemoryBudget::Limit::~Limit() {
  if (budget_ == nullptr) return;
  {
    const std::lock_guard lock(budget_->mutex_);
    budget_->limits_.erase(budget_->limits_.find(bytes_));
    budget_->update_limit();
  }
  budget_->changed_.notify_all();
}

MemoryBudget& MemoryBudget::cpu() {
  static MemoryBudget& budget = of("cpu");
  return budget;
}

MemoryBudget& MemoryBudget::of(const std::string& device) {
  const std::lock_guard lock(budgets().mutex);
  auto& budget = budgets().by_device[device];
  if (budget == nullptr) {
    budget = std::make_unique<MemoryBudget>(device, [device] { return memory_available(device); });
  }
  return *budget;
}

std::vector<MemoryBudgetStats> MemoryBudget::all_stats() {
  std::vector<MemoryBudget*> all;
  {
    const std::lock_guard lock(budgets().mutex);
    for (const auto& [device, budget] : budgets().by_device) all.push_back(budget.get());
  }
  std::vector<MemoryBudgetStats> stats;
  for (const MemoryBudget* budget : all) stats.push_back(budget->stats());
  return stats;
}

MemoryBudget::MemoryBudget(std::string device, std::function<std::optional<uint64_t>()> available)
    : device_(std::move(device)), available_(std::move(available)), limit_(kNoLimit) {}

MemoryBudget::~MemoryBudget() = default;

// A caller in reserve() for whom there was no room. Lives on its stack.
struct MemoryBudget::Wait {
  Clock::time_point since;
  Deadline deadline;
  Clock::time_point next_look_at_device;
  Clock::time_point next_drain;
};

MemoryBudget::Waited MemoryBudget::waited(const Wait& wait) const {
  const bool is_the_callers = !patience() && MemoryWait::current() && wait.deadline.when() > wait.since;
  return {.since = wait.since, .deadline_is_the_callers = is_the_callers};
}

Reservation MemoryBudget::reserve(const MemoryRequest& request) {
  Lock lock(mutex_);
  const bool is_first = request.use == MemoryUse::kWorkspace || queue_.empty();
  // Loads are rare, and much may have changed since the last. A workspace is asked for in the midst of computing.
  if (request.use != MemoryUse::kWorkspace || !has_looked_) look_at_device(lock);
  if (is_first && fits(request)) return take(request);
  if (request.claimed) {
    give_caches_back(lock);
    return take(request);
  }
  return reserve_slowly(lock, request);
}

Reservation MemoryBudget::reserve_slowly(Lock& lock, const MemoryRequest& request) {
  const Clock::time_point start = Clock::now();
  look_at_device(lock);
  if (!can_ever_fit(request) && !request.may_exceed) refuse(lock, request, std::nullopt);
  Wait wait{.since = start,
            .deadline = MemoryWait::current().value_or(Deadline::after(Clock::duration(kLongestWait))),
            .next_look_at_device = start + kBetweenLooksAtDevice,
            .next_drain = start + kPreference};
  if (const auto longest = patience()) {
    wait.deadline = Deadline::at(std::min(wait.deadline.when(), Deadline::after(*longest).when()));
  }
  const bool queues = request.use != MemoryUse::kWorkspace;
  // Leaves the queue however this ends.
  struct Place {
    MemoryBudget& budget;
    Wait* wait;
    bool queues;

    ~Place() {
      --budget.waiting_;
      if (queues) std::erase(budget.queue_, wait);
      budget.changed_.notify_all();
    }
  };
  if (queues) queue_.push_back(&wait);
  ++waiting_;
  const Place place{*this, &wait, queues};
  for (;;) {
    const bool is_first = !queues || queue_.front() == &wait;
    if (is_first && fits(request)) return take(request);
    if (is_first && make_room(lock, request, wait)) continue;
    if (request.may_exceed) return take(request);
    const Clock::time_point now = Clock::now();
    if (now >= wait.deadline.when()) refuse(lock, request, waited(wait));
    if (now >= wait.next_look_at_device) {
      wait.next_look_at_device = now + kBetweenLooksAtDevice;
      look_at_device(lock);
      if (!can_ever_fit(request)) refuse(lock, request, waited(wait));
      continue;
    }
    const Clock::time_point look = now + (is_first ? kBetweenLooks : kBetweenLooksAtDevice);
    changed_.wait_until(lock, std::min(wait.deadline.when(), look));
  }
}

// One step towards it. Returns whether it is worth looking whether the request fits now.
bool MemoryBudget::make_room(Lock& lock, const MemoryRequest& request, Wait& wait) {
  give_caches_back(lock);
  if (fits(request) || evict_one(lock)) return true;
  const Clock::time_point now = Clock::now();
  if (request.use != MemoryUse::kWorkspace && now >= wait.next_drain) {
    wait.next_drain = now + kLongestDrain;
    drain_one(lock, now + kLongestDrain);
  }
  return false;
}

void MemoryBudget::give_caches_back(Lock& lock) {
  const std::vector<std::function<void()>> caches = caches_;
  lock.unlock();
  for (const auto& give_back : caches) give_back();
  lock.lock();
}

std::vector<std::shared_ptr<MemoryHolder>> MemoryBudget::holders() {
  std::vector<std::shared_ptr<MemoryHolder>> found;
  std::erase_if(holders_, [&found](const std::weak_ptr<MemoryHolder>& weak) {
    std::shared_ptr<MemoryHolder> holder = weak.lock();
    if (holder == nullptr) return true;
    found.push_back(std::move(holder));
    return false;
  });
  return found;
}

bool MemoryBudget::evict_one(Lock& lock) {
  std::vector<std::shared_ptr<MemoryHolder>> all = holders();
  lock.unlock();
  MemoryHolder* oldest = nullptr;
  Clock::time_point since = Clock::time_point::max();
  for (const auto& holder : all) {
    const auto idle = holder->idle_since();
    if (!idle || *idle >= since) continue;
    oldest = holder.get();
    since = *idle;
  }
  const bool evicted = oldest != nullptr && oldest->evict();
  all.clear();
  lock.lock();
  if (evicted) ++stats_.evictions;
  return evicted;
}

void MemoryBudget::drain_one(Lock& lock, Clock::time_point end) {
  std::vector<std::shared_ptr<MemoryHolder>> all = holders();
  lock.unlock();
  MemoryHolder* oldest = nullptr;
  Clock::time_point since = Clock::time_point::max();
  for (const auto& holder : all) {
    const auto held = holder->held_since();
    if (!held || *held >= since) continue;
    oldest = holder.get();
    since = *held;
  }
  if (oldest != nullptr) oldest->drain(end);
  const bool drained = oldest != nullptr;
  all.clear();
  lock.lock();
  if (drained) ++stats_.drains;
}

MemoryBudget::Limit MemoryBudget::limit_to(uint64_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    limits_.insert(bytes);
    update_limit();
  }
  Limit limit(this, bytes);
  lower_to_limit();
  return limit;
}

void MemoryBudget::lower_to_limit() {
  Lock lock(mutex_);
  if (used() > limit_) give_caches_back(lock);
  while (used() > limit_ && evict_one(lock)) {
  }
}

void MemoryBudget::add_holder(std::weak_ptr<MemoryHolder> holder) {
  const std::lock_guard lock(mutex_);
  std::erase_if(holders_, [](const auto& other) { return other.expired(); });
  holders_.push_back(std::move(holder));
}

void MemoryBudget::add_cache(std::function<void()> give_back) {
  const std::lock_guard lock(mutex_);
  caches_.push_back(std::move(give_back));
}

void MemoryBudget::empty_caches() {
  Lock lock(mutex_);
  give_caches_back(lock);
}

bool MemoryBudget::make_room_on_device() {
  Lock lock(mutex_);
  look_at_device(lock);
  if (!evict_one(lock)) return false;
  ++stats_.retries;
  return true;
}

uint64_t MemoryBudget::attainable() {
  Lock lock(mutex_);
  look_at_device(lock);
  return available_now_ ? *available_now_ + weights_ + workspaces() : kNoLimit;
}

uint64_t MemoryBudget::left_by_weights() {
  Lock lock(mutex_);
  look_at_device(lock);
  const uint64_t weights = weights_ + mapped_weights_;
  return limit_ - std::min(limit_, weights);
}

MemoryBudgetStats MemoryBudget::stats() const {
  const std::lock_guard lock(mutex_);
  MemoryBudgetStats stats = stats_;
  stats.device = device_;
  stats.limit = limit_;
  if (!limits_.empty()) stats.configured = *limits_.begin();
  stats.found = found_;
  stats.used = used();
  stats.weights = weights_;
  stats.mapped_weights = mapped_weights_;
  stats.workspaces = workspaces();
  stats.models = static_cast<int64_t>(floors_.size());
  stats.waiting = waiting_;
  return stats;
}

void MemoryBudget::report(const MemoryEvent& event) {
  if (event.kind == MemoryEvent::Kind::kLoaded) {
    const std::lock_guard lock(mutex_);
    ++stats_.loads;
  }
  emit(event);
}

uint64_t& MemoryBudget::counter(MemoryUse use) {
  switch (use) {
    case MemoryUse::kWeights:
      return weights_;
    case MemoryUse::kMappedWeights:
      return mapped_weights_;
    case MemoryUse::kClaimed:
      return claimed_workspaces_;
    case MemoryUse::kWorkspace:
      break;
  }
  return workspaces_;
}

std::optional<MemoryBudget::Clock::duration> MemoryBudget::patience() const {
  return device_ == kCpuDevice ? std::nullopt : longest_wait_for_gpu;
}

bool MemoryBudget::fits(const MemoryRequest& request) const {
  uint64_t beside = request.claimed ? workspaces() : promised();
  if (request.use != MemoryUse::kWorkspace) {
    beside = std::max({beside, request.workspace, floors_.empty() ? 0 : *floors_.rbegin()});
  }
  const uint64_t taken = weights_ + mapped_weights_ + beside;
  return taken <= limit_ && request.bytes <= limit_ - taken;
}

bool MemoryBudget::can_ever_fit(const MemoryRequest& request) const {
  return request.workspace <= limit_ && request.bytes <= limit_ - request.workspace;
}

bool MemoryBudget::is_over_limit() const {
  const std::lock_guard lock(mutex_);
  return used() > limit_;
}

uint64_t MemoryBudget::unclaimed() const {
  const uint64_t taken = weights_ + mapped_weights_ + workspaces_ + claims_;
  return limit_ - std::min(limit_, taken);
}

bool MemoryBudget::claim_more(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (bytes > unclaimed()) return false;
  claims_ += bytes;
  return true;
}

void MemoryBudget::unclaim(uint64_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    claims_ -= bytes;
    ++progress_;
    if (waiting_ == 0) return;
  }
  changed_.notify_all();
}

Reservation MemoryBudget::take(const MemoryRequest& request) {
  const MemoryUse use = request.claimed ? MemoryUse::kClaimed : request.use;
  counter(use) += request.bytes;
  stats_.peak = std::max(stats_.peak, used());
  if (request.use == MemoryUse::kWorkspace) return Reservation(this, request.bytes, use, std::nullopt);
  floors_.insert(request.workspace);
  return Reservation(this, request.bytes, request.use, request.workspace);
}

void MemoryBudget::give_back(uint64_t bytes, MemoryUse use, std::optional<uint64_t> floor) {
  bool anyone_waits = false;
  {
    const std::lock_guard lock(mutex_);
    counter(use) -= bytes;
    if (floor) floors_.erase(floors_.find(*floor));
    anyone_waits = waiting_ > 0;
  }
  if (anyone_waits) changed_.notify_all();
}

void MemoryBudget::look_at_device(Lock& lock) {
  lock.unlock();
  const std::optional<uint64_t> available = available_();
  lock.lock();
  has_looked_ = true;
  available_now_ = available;
  // Pages of mapped files count as available though they are ours as well.
  if (available) found_ = less_headroom(*available + weights_ + workspaces());
  update_limit();
}

void MemoryBudget::update_limit() {
  limit_ = std::min(found_.value_or(kNoLimit), limits_.empty() ? kNoLimit : *limits_.begin());
}

void MemoryBudget::refuse(Lock& lock, const MemoryRequest& request, const std::optional<Waited>& wait) {
  ++stats_.refusals;
  const Clock::duration waited = wait ? Clock::now() - wait->since : Clock::duration(0);
  const bool is_configured = !limits_.empty() && *limits_.begin() == limit_;
  const bool is_workspace = request.use == MemoryUse::kWorkspace;
  std::string message = fmt::format(
      "{}: needs {} bytes of {}{}; the memory limit of {} is {} bytes ({}), {} are taken by the weights of {} models "
      "and {} by workspaces; ",
      request.what, request.bytes, is_workspace ? "workspace" : "weights",
      is_workspace ? "" : fmt::format(" and {} of workspace", request.workspace), device_, limit_,
      is_configured ? "memory_limit" : "what is available, less a headroom", weights_ + mapped_weights_, floors_.size(),
      promised());
  const bool timed_out = wait && wait->deadline_is_the_callers;
  if (!wait) {
    message += is_workspace ? "raise it, or compute less at once" : "raise it, or use a smaller precision";
  } else {
    message += fmt::format(
        "all of that was in use or too new to be evicted for {:.3f} s; raise the limit, give leases back sooner, or "
        "use "
        "fewer models at once",
        seconds(waited));
  }
  const MemoryEvent event{.kind = MemoryEvent::Kind::kRefused,
                          .device = device_,
                          .what = std::string(request.what),
                          .bytes = request.bytes,
                          .duration = waited};
  lock.unlock();
  emit(event);
  lock.lock();  // For those who leave the queue by this exception.
  if (timed_out) throw TimeoutError(message);
  throw OutOfMemory(message, device_);
}

}  // namespace remuda
