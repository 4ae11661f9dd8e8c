#include "manager/batcher.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/fail.h"
#include "base/log.h"
#include "device/memory_budget.h"

namespace remuda {
namespace {

// How often a caller that waits asks whether it was cancelled.
constexpr std::chrono::milliseconds kCancellationInterval{5};

// How long a step may wait for what others use of a GPU before its work goes elsewhere, or is tried again.
constexpr std::chrono::milliseconds kRoomPatience{200};

// Until work that a GPU had no memory for is tried again there.
constexpr std::chrono::milliseconds kBetweenTries{20};

// A session gives its instance back after this long, so that those who wait for the pool to be emptied see it.
constexpr std::chrono::seconds kMaxSessionAge{10};

bool has_queued(const BatchCaller& caller) {
  return std::ranges::any_of(caller.requests,
                             [](const auto& request) { return !request->is_over() && request->has_waiting(); });
}

// After an error nothing is told any more.
bool has_news(const BatchRequest& request) { return request.error() == nullptr && request.has_news(); }

bool has_news(const BatchCaller& caller) {
  return std::ranges::any_of(caller.requests, [](const auto& request) { return has_news(*request); });
}

bool is_done(const BatchRequest& request) { return request.is_done() && !has_news(request); }

// Whether the caller has to do something other than to wait for results.
bool has_done(const BatchCaller& caller) {
  return std::ranges::any_of(caller.requests, [](const auto& request) { return is_done(*request); });
}

bool has_undone(const BatchCaller& caller) {
  return std::ranges::any_of(caller.requests, [](const auto& request) { return !is_done(*request); });
}

// Whether a deadline still matters to the request.
bool is_bound(const BatchRequest& request) {
  return !request.is_over() && (request.options().deadline_ends_work || !request.begun());
}

bool is_late(const BatchRequest& request) {
  return (is_bound(request) && request.options().deadline.expired()) ||
         (!request.is_over() && request.room_deadline().expired());
}

// When a caller that waits has to look at its requests again, whatever happens.
Deadline::Clock::time_point next_look(const BatchCaller& caller) {
  Deadline::Clock::time_point next = Deadline::Clock::time_point::max();
  bool polls = false;
  for (const auto& request : caller.requests) {
    if (is_bound(*request)) next = std::min(next, request->options().deadline.when());
    if (!request->is_over()) next = std::min(next, request->room_deadline().when());
    polls |= !request->is_over() && request->options().cancelled != nullptr;
  }
  return polls ? std::min(next, Deadline::Clock::now() + kCancellationInterval) : next;
}

}  // namespace

struct OpenSession {
  std::unique_ptr<BatchSession> session;
  Deadline::Clock::time_point since = Deadline::Clock::now();
  bool is_full = false;     // It left requests in the queue.
  bool is_retired = false;  // It takes parts of its leader's requests alone.
};

Batcher::Batcher(BatcherOptions options) : options_(std::move(options)) {}

Batcher::~Batcher() {
  close();
  join_thread();
  Lock lock(mutex_);
  left_.wait(lock, [this] { return callers_.empty(); });
}

void Batcher::run(const Pointer& request, bool taken_in) {
  BatchCaller caller;
  const std::stop_callback on_stop(request->options().stop,
                                   [&] { stop(*request); });  // Before the lock, which it takes.
  Lock lock(mutex_);
  if (const std::exception_ptr refused = refuse(lock, taken_in)) std::rethrow_exception(refused);
  callers_.push_back(&caller);
  try {
    enter(caller, request);
    while (!is_done(*request)) serve(lock, caller);
  } catch (...) {  // No memory.
    if (!lock.owns_lock()) lock.lock();
    request->fail(std::current_exception());
  }
  leave(lock, caller);
  const std::exception_ptr error = request->error();
  lock.unlock();
  if (error != nullptr) std::rethrow_exception(error);
}

void Batcher::close() {
  const Lock lock(mutex_);
  closed_ = true;
  for (const Pointer& request : queue_.requests()) {
    if (request->caller_->leads == nullptr) end(*request, closed_error());
  }
  for (const Pointer& request : submitter_.requests) end(*request, closed_error());
  wake(&submitter_);
}

void Batcher::enter(BatchCaller& caller, const Pointer& request) {
  caller.requests.push_back(request);
  request->caller_ = &caller;
  if (!request->has_waiting() || request->is_over()) return;
  queue_.push(request);
  // Who waits for the pool less urgently gives up its place there.
  if (opener_ != nullptr && request->options().priority < opener_priority_) opener_stop_.request_stop();
}

// Whatever its requests still have in a queue or in work is nobody's from here on.
void Batcher::leave(Lock& lock, BatchCaller& caller) noexcept {
  for (const Pointer& request : caller.requests) {
    queue_.remove(*request);
    request->caller_ = nullptr;
  }
  if (caller.leads != nullptr) hand_over(lock, caller);
  hand_over_leaderless(lock);
  std::erase(callers_, &caller);
  wake_opener();  // This caller may have been the one that was woken for it.
  left_.notify_all();
}

// One round of a caller's waiting: it looks after its requests, and leads a session for a step or waits for something
// to happen.
void Batcher::serve(Lock& lock, BatchCaller& caller) {
  attend(lock, caller);
  if (has_done(caller) || has_news(caller)) return;
  if (caller.leads == nullptr && has_undone(caller) && !leaderless_.empty()) {
    caller.leads = leaderless_.back();
    leaderless_.pop_back();
  }
  if (caller.leads == nullptr && may_open(caller)) {
    open(lock, caller);
    if (caller.leads == nullptr) return;
  }
  if (caller.leads != nullptr) {
    turn(lock, caller);
  } else {
    wait(lock, caller);
  }
}

// The caller's own part: its callbacks, and what of its requests has to end.
void Batcher::attend(Lock& lock, BatchCaller& caller) {
  for (size_t i = 0; i < caller.requests.size(); ++i) {
    const Pointer request = caller.requests[i];
    const bool news = has_news(*request);
    const bool may_be_cancelled = !request->is_over() && request->options().cancelled != nullptr;
    if (news || may_be_cancelled) {
      request->collect_news();
      std::exception_ptr error;
      bool cancelled = false;
      lock.unlock();
      try {
        if (news) request->deliver_news();
        cancelled = may_be_cancelled && request->options().cancelled();
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      if (error != nullptr) {  // Also where that was the last of its news.
        queue_.remove(*request);
        request->fail(error);
      }
      if (cancelled && !request->is_over()) {
        end(*request, cancelled_error(*request), /*may_keep_results=*/true);
      }
    }
    if ((request->options().deadline_ends_work || request->waits_for_room()) && is_late(*request)) {
      end(*request, timeout_error(*request), /*may_keep_results=*/true);
    }
  }
}

// One step of the session that the caller leads.
void Batcher::turn(Lock& lock, BatchCaller& caller) {
  OpenSession& open_session = *caller.leads;
  BatchSession& session = *open_session.session;
  BatchSession::Requests changed;
  end_late();
  session.drop_ended(changed);
  retire_if_due(open_session);
  queue_.begin_batch(takes(open_session) ? nullptr : &caller);
  session.take(queue_, changed);
  wake(changed);
  open_session.is_full = !queue_.empty();
  if (open_session.is_full) wake_opener();
  if (!session.is_idle()) {
    lock.unlock();
    {
      const GpuMemoryPatience patience(kRoomPatience);
      session.step();
    }
    lock.lock();
    if (const std::exception_ptr error = session.place_error()) {
      recover(lock, caller, error);
      return;
    }
    session.settle(changed);
    wake(changed);
  }
  const bool goes_on = !session.is_idle() || has_queued(caller);
  if (!goes_on || has_news(caller) || !has_undone(caller)) hand_over(lock, caller);
}

// The GPU of the session that the caller leads could not compute what was taken.
void Batcher::recover(Lock& lock, BatchCaller& caller, const std::exception_ptr& error) {
  BatchSession& session = *caller.leads->session;
  const Recovery recovery = options_.recovery ? options_.recovery(error) : Recovery::kFail;
  int64_t calls = 0;
  BatchSession::Requests requests;
  for (Pointer& request : session.take_back()) {  // Which may have had several parts.
    if (std::ranges::find(requests, request) == requests.end()) requests.push_back(std::move(request));
  }
  std::ranges::reverse(requests);  // So that they are in the queue in their order.
  for (const Pointer& request : requests) {
    if (request->is_over() || request->caller_ == nullptr) {
      wake(request->caller_);
      continue;
    }
    if (recovery == Recovery::kFail) {
      end(*request, error);
    } else {
      queue_.put_back(request);
    }
    const bool begins = recovery != Recovery::kWait || request->wait_for_room(error, MemoryBudget::kLongestWait);
    if (begins) ++calls;
  }
  if (recovery != Recovery::kWait) session.discard();
  lock.unlock();
  if (options_.on_recovery) options_.on_recovery(recovery, calls, error);
  // Nobody says when a GPU has room.
  if (recovery == Recovery::kWait) std::this_thread::sleep_for(kBetweenTries);
  lock.lock();
  if (recovery == Recovery::kWait) {
    if (!has_undone(caller) || !has_queued(caller)) hand_over(lock, caller);
  } else {
    destroy(lock, *std::exchange(caller.leads, nullptr));
  }
}

void Batcher::wait(Lock& lock, BatchCaller& caller) {
  bool ended = false;
  for (const Pointer& request : caller.requests) {
    if (!is_late(*request)) continue;
    end(*request, timeout_error(*request), /*may_keep_results=*/true);
    ended = true;
  }
  if (ended) return;
  caller.waits = true;
  const Clock::time_point until = next_look(caller);
  const auto woken = [&caller] { return !caller.waits; };
  if (until == Clock::time_point::max()) {
    caller.wake.wait(lock, woken);
  } else {
    caller.wake.wait_until(lock, until, woken);
  }
  caller.waits = false;
  caller.has_tried = false;
}

bool Batcher::may_open(const BatchCaller& caller) const {
  if (closed_ || !has_queued(caller) || std::ssize(sessions_) >= options_.max_sessions) return false;
  if (opener_ != nullptr || (caller.has_tried && !sessions_.empty())) return false;
  if (sessions_.empty() && !is_most_urgent(caller)) return false;
  const auto has_room = [](const OpenSession& open) { return !open.is_full && !open.is_retired; };
  return std::ranges::none_of(sessions_, has_room);
}

bool Batcher::is_most_urgent(const BatchCaller& caller) const {
  Priority highest = Priority::kBulk;
  Priority own = Priority::kBulk;
  for (const Pointer& request : queue_.requests()) {
    const Priority priority = request->options().priority;
    highest = std::min(highest, priority);
    if (request->caller_ == &caller) own = std::min(own, priority);
  }
  return own <= highest;
}

// Leases an instance, for the caller to lead: waits for one where no session is open, else takes one that is idle.
void Batcher::open(Lock& lock, BatchCaller& caller) {
  // The request to go by: of the highest priority, with the nearest deadline.
  Pointer request;
  for (const Pointer& each : caller.requests) {
    if (each->is_over() || !each->has_waiting()) continue;
    const auto key = [](const BatchRequest& r) { return std::pair(r.options().priority, r.options().deadline.when()); };
    if (request == nullptr || key(*each) < key(*request)) request = each;
  }
  const bool may_wait = sessions_.empty();
  caller.has_tried = true;
  opener_ = &caller;
  opener_stop_ = {};
  opener_priority_ = request->options().priority;
  Interruption interruption;
  SessionTerms terms{.priority = opener_priority_, .stop = opener_stop_.get_token()};
  if (is_bound(*request)) terms.timeout = request->options().deadline.left();
  // Everything else than these stops the wait or is its timeout.
  const auto has_to_ask = [](const Pointer& each) { return each->options().cancelled != nullptr; };
  if (caller.requests.size() > 1 || std::ranges::any_of(caller.requests, has_to_ask)) {
    terms.cancelled = [&] { return is_interrupted(caller, interruption); };
  }
  std::unique_ptr<BatchSession> session;
  std::exception_ptr error;
  lock.unlock();
  try {
    session = may_wait ? options_.open(terms) : options_.try_open();
  } catch (...) {
    error = std::current_exception();
  }
  lock.lock();
  opener_ = nullptr;
  if (session != nullptr) {
    caller.leads = &sessions_.emplace_back(OpenSession{.session = std::move(session)});
  } else if (interruption.request != nullptr) {
    end(*interruption.request, interruption.error, /*may_keep_results=*/true);
  } else if (may_wait && !terms.stop.stop_requested() && !interruption.happened) {
    fail_to_open(caller, request, error);
  } else if (error != nullptr && !may_wait) {
    log::debug("pool {}: no further instance for calls that wait, they are served by those there are", options_.name);
  }
  wake_opener();
}

// Whether the caller, who waits for the pool, has to look at its requests. Called without the lock.
bool Batcher::is_interrupted(const BatchCaller& caller, Interruption& interruption) const {
  for (const Pointer& request : caller.requests) {
    try {
      if (!request->options().cancelled || !request->options().cancelled()) continue;
      interruption.error = cancelled_error(*request);
    } catch (...) {
      interruption.error = std::current_exception();
    }
    interruption.request = request;
    interruption.happened = true;
    return true;
  }
  const Lock lock(mutex_);
  interruption.happened = has_done(caller) || std::ranges::any_of(caller.requests, [](const Pointer& request) {
                            return is_late(*request);
                          });
  return interruption.happened;
}

// No instance, and no session to wait for. What concerns the caller's wait is its own; what is wrong with the model is
// for all who wait, the next to come tries again.
void Batcher::fail_to_open(BatchCaller& caller, const Pointer& request, const std::exception_ptr& error) {
  bool gave_up = false;
  bool is_own = false;
  try {
    std::rethrow_exception(error);
  } catch (const Error& known) {
    gave_up = known.code() == ErrorCode::kTimeout || known.code() == ErrorCode::kCancelled;
    // What there is no room for now, there may be for the next.
    is_own = gave_up || known.code() == ErrorCode::kOverloaded || known.code() == ErrorCode::kOutOfMemory;
  } catch (...) {
  }
  if (is_own) {
    end(*request, error, /*may_keep_results=*/gave_up);
    return;
  }
  for (const Pointer& waiting : queue_.requests()) end(*waiting, error);
  for (const Pointer& own : caller.requests) end(*own, error);
}

void Batcher::hand_over(Lock& lock, BatchCaller& caller) { hand_over(lock, *std::exchange(caller.leads, nullptr)); }

// To a caller who waits; to whoever comes back from its callbacks first; or, where nothing is left to do, closes it.
void Batcher::hand_over(Lock& lock, OpenSession& session) {
  BatchSession::Requests changed;
  session.session->drop_ended(changed);
  wake(changed);
  retire_if_due(session);
  if (session.session->is_idle() && (!takes(session) || queue_.empty())) {
    destroy(lock, session);
    return;
  }
  if (BatchCaller* next = successor(session)) {
    next->leads = &session;
    wake(next);
  } else {
    leaderless_.push_back(&session);
  }
}

// When a request is gone: sessions may have waited for it alone.
void Batcher::hand_over_leaderless(Lock& lock) {
  for (OpenSession* session : std::exchange(leaderless_, {})) hand_over(lock, *session);
}

void Batcher::destroy(Lock& lock, OpenSession& session) {
  std::unique_ptr<BatchSession> gone = std::move(session.session);
  sessions_.remove_if([&session](const OpenSession& each) { return &each == &session; });
  lock.unlock();
  gone.reset();
  lock.lock();
  wake_opener();
}

// One whose request it works for, else the next in the queue, else anybody.
BatchCaller* Batcher::successor(const OpenSession& session) const {
  BatchCaller* found = nullptr;
  const auto consider = [&found](BatchCaller* caller) {
    if (found == nullptr && caller != nullptr && caller->waits && has_undone(*caller)) found = caller;
  };
  for (BatchCaller* caller : callers_) {
    if (session.session->works_for(*caller)) consider(caller);
  }
  for (const Pointer& request : queue_.requests()) consider(request->caller_);
  for (BatchCaller* caller : callers_) consider(caller);
  return found;
}

bool Batcher::takes(const OpenSession& session) const { return !session.is_retired && !closed_; }

void Batcher::retire_if_due(OpenSession& session) const {
  if (session.is_retired || queue_.empty()) return;
  session.is_retired = Clock::now() - session.since >= kMaxSessionAge || options_.pool_waiting() > 0;
}

// Called by the thread that asks for the stop, without the lock.
void Batcher::stop(BatchRequest& request) noexcept {
  const Lock lock(mutex_);
  try {
    end(request, cancelled_error(request), /*may_keep_results=*/true);
  } catch (...) {  // No memory.
    end(request, std::current_exception());
  }
}

void Batcher::end(BatchRequest& request, std::exception_ptr error, bool may_keep_results) {
  if (request.is_done()) return;
  queue_.remove(request);
  if (may_keep_results && request.options().keeps_results) {
    request.end_early();
  } else {
    request.fail(std::move(error));
  }
  wake(request.caller_);
}

// Requests whose callers have not woken yet.
void Batcher::end_late() {
  for (const Pointer& request : queue_.requests()) {
    if (is_late(*request)) end(*request, timeout_error(*request), /*may_keep_results=*/true);
  }
}

void Batcher::wake(BatchCaller* caller) {
  if (caller == nullptr) return;
  if (caller->waits) {
    caller->waits = false;
    caller->wake.notify_one();
  } else if (caller == opener_) {
    opener_stop_.request_stop();
  }
}

void Batcher::wake(BatchSession::Requests& changed) {
  for (const Pointer& request : changed) {
    if (request->is_over()) queue_.remove(*request);
    wake(request->caller_);
  }
  changed.clear();
}

// Somebody who may open a session now.
void Batcher::wake_opener() {
  if (opener_ != nullptr || std::ssize(sessions_) >= options_.max_sessions) return;
  for (const Pointer& request : queue_.requests()) {
    if (request->caller_->waits && may_open(*request->caller_)) {
      wake(request->caller_);
      return;
    }
  }
}

std::exception_ptr Batcher::cancelled_error(const BatchRequest& request) const {
  return std::make_exception_ptr(Error(ErrorCode::kCancelled, fmt::format("{} was cancelled", request.options().what)));
}

std::exception_ptr Batcher::timeout_error(const BatchRequest& request) const {
  if (request.waits_for_room()) {
    try {
      std::rethrow_exception(request.shortage());
    } catch (const OutOfMemory& shortage) {
      return std::make_exception_ptr(
          OutOfMemory(fmt::format("pool {}: {} waited for memory until its deadline, in vain: {}", options_.name,
                                  request.options().what, shortage.what()),
                      shortage.device()));
    } catch (...) {
      return std::current_exception();
    }
  }
  if (request.begun()) {
    return std::make_exception_ptr(
        TimeoutError(fmt::format("the deadline passed before {} was finished; give more time{}", request.options().what,
                                 request.options().deadline_ends_work ? ", or ask for partial results" : "")));
  }
  return std::make_exception_ptr(TimeoutError(
      fmt::format("pool {}: the deadline passed before {} was begun: {} batches are in work, {} calls wait",
                  options_.name, request.options().what, sessions_.size(), queue_.size())));
}

std::exception_ptr Batcher::closed_error() const {
  return std::make_exception_ptr(PoolClosed(fmt::format("pool {} is closed", options_.name)));
}

std::exception_ptr Batcher::refuse(Lock& lock, bool taken_in) const {
  if (closed_) return closed_error();
  if (taken_in) return nullptr;
  const int64_t free_sessions = options_.max_sessions - std::ssize(sessions_);
  if (!options_.max_waiting || queue_.size() < *options_.max_waiting + free_sessions) return nullptr;
  std::exception_ptr error = std::make_exception_ptr(Overloaded(fmt::format(
      "pool {}: {} calls wait already, and no more than {} may (max_waiting); {} batches are in work; try again later",
      options_.name, queue_.size(), *options_.max_waiting, sessions_.size())));
  lock.unlock();
  options_.on_overload();  // Who hears of it may do anything.
  lock.lock();
  return error;
}

}  // namespace remuda
