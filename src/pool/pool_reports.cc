// What a pool says about itself: statistics, events, leaks, and who holds what.
#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "pool/pool_core.h"

namespace remuda {
namespace {

// `, label` where there is one.
std::string and_label(const std::string& label) { return label.empty() ? "" : ", " + label; }

}  // namespace

std::string message_of_current_exception() {
  try {
    throw;
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "something was thrown that is no std::exception";
  }
}

PoolStats PoolCore::get_pool_stats() {
  check_process();
  const Clock::time_point now = Clock::now();
  Lock lock(mutex_);
  const std::vector<LeakReport> leaks = note_leaks(now);
  PoolStats stats = stats_;
  stats.max_instances = max_instances_;
  stats.available = static_cast<int64_t>(idle_.size());
  stats.creating = creating_;
  stats.total = static_cast<int64_t>(slots_.size());
  stats.in_use = stats.total - stats.available - stats.creating;
  stats.destroying = destroying_;
  stats.waiting = queue_.size();
  for (const PoolSlot& slot : slots_) {
    if (slot.instance == nullptr) continue;
    stats.memory_shared = std::max(stats.memory_shared, slot.instance->metadata_.shared_bytes);
    stats.memory_private += slot.instance->metadata_.private_bytes;
    ++stats.by_device[slot.instance->metadata_.device];
  }
  lock.unlock();
  stats.name = options_.name;
  if (options_.fallbacks != nullptr) stats.fallbacks = *options_.fallbacks;
  report_leaks(leaks);
  return stats;
}

std::vector<LeakReport> PoolCore::leaks() {
  check_process();
  const Clock::time_point now = Clock::now();
  std::vector<LeakReport> leaks;
  {
    const Lock lock(mutex_);
    for (const PoolSlot& slot : slots_) {
      if (slot.state != SlotState::kLeased || now < later(slot.leased_at, options_.leak_threshold)) continue;
      leaks.push_back({slot.instance->metadata_.id, slot.holder, slot.label, now - slot.leased_at});
    }
  }
  std::ranges::sort(leaks, std::ranges::greater(), &LeakReport::age);
  return leaks;
}

int64_t PoolCore::waiting() {
  check_process();
  const Lock lock(mutex_);
  return queue_.size();
}

void PoolCore::count_overload(const std::string& label) {
  check_process();
  {
    const Lock lock(mutex_);
    ++stats_.overloaded;
  }
  report({.kind = PoolEvent::Kind::kOverload, .thread = this_thread(), .label = label});
}

void PoolCore::count(uint64_t PoolStats::* counter, int64_t more) {
  if (is_parents()) return;
  const Lock lock(mutex_);
  stats_.*counter += static_cast<uint64_t>(more);
}

bool PoolCore::is_observed() const { return options_.on_event != nullptr || log::enabled(log::Level::kDebug); }

// Without the lock.
void PoolCore::report(PoolEvent event) const {
  if (!is_observed()) return;
  event.pool = options_.name;
  log::debug("pool {}: {}", options_.name, to_string(event));
  if (!options_.on_event) return;
  try {
    options_.on_event(event);
  } catch (...) {
    log::warning("pool {}: on_event failed for event={} instance={}: {}", options_.name, to_string(event.kind),
                 event.instance_id, message_of_current_exception());
  }
}

void PoolCore::report_lease(PoolEvent::Kind kind, const PoolSlot& slot, std::chrono::nanoseconds duration) const {
  report({.kind = kind,
          .instance_id = slot.instance->metadata_.id,
          .thread = slot.holder,
          .label = slot.label,
          .duration = duration});
}

void PoolCore::report_waiting(PoolEvent::Kind kind, const Call& call, Clock::time_point now) const {
  report({.kind = kind, .thread = this_thread(), .label = call.options.label, .duration = now - call.since});
}

void PoolCore::report_failed_creation(const std::exception_ptr& error, std::chrono::nanoseconds duration) const {
  if (!is_observed()) return;
  std::string why;
  try {
    std::rethrow_exception(error);
  } catch (...) {
    why = message_of_current_exception();
  }
  report({.kind = PoolEvent::Kind::kCreateFailed, .thread = this_thread(), .duration = duration, .detail = why});
}

// Counts the leases that are held for too long, each once, and returns them for report_leaks.
std::vector<LeakReport> PoolCore::note_leaks(Clock::time_point now) {
  std::vector<LeakReport> leaks;
  for (PoolSlot& slot : slots_) {
    if (slot.state != SlotState::kLeased || slot.reported) continue;
    if (now < later(slot.leased_at, options_.leak_threshold)) continue;
    slot.reported = true;
    ++stats_.leaks;
    leaks.push_back({slot.instance->metadata_.id, slot.holder, slot.label, now - slot.leased_at});
  }
  return leaks;
}

// Without the lock.
void PoolCore::report_leaks(const std::vector<LeakReport>& leaks) const {
  for (const LeakReport& leak : leaks) {
    log::warning("pool {}: instance {} has been on lease for {:.1f} s, by thread {}{}; was it forgotten?",
                 options_.name, leak.instance_id, to_seconds(leak.age), leak.thread, and_label(leak.label));
    report({.kind = PoolEvent::Kind::kLeak,
            .instance_id = leak.instance_id,
            .thread = leak.thread,
            .label = leak.label,
            .duration = leak.age});
  }
}

std::string PoolCore::describe_holders(Clock::time_point now) const {
  std::string text = fmt::format("{} of {} instances are in use", slots_.size(), max_instances_);
  for (const PoolSlot& slot : slots_) {
    if (slot.state == SlotState::kCreating) text += "; one is being created";
    if (slot.state == SlotState::kGiven)
      text += fmt::format("; instance {} is being handed over", slot.instance->metadata_.id);
    if (slot.state != SlotState::kLeased) continue;
    text += fmt::format("; instance {} by thread {}{} for {:.3f} s", slot.instance->metadata_.id, slot.holder,
                        and_label(slot.label), to_seconds(now - slot.leased_at));
  }
  text += fmt::format("; {} more callers wait", queue_.size());
  if (!no_memory_because_.empty()) text += "; no further instance was made: " + no_memory_because_;
  return text;
}

}  // namespace remuda
