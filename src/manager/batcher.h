// Calls of different threads computed together.
//
// A caller queues its request and waits. The first one opens a session: an instance leased from the pool, and a batch
// to work on with it. Whoever leads a session takes parts of waiting requests, its own and others', computes them, and
// gives the results to their owners; when its own request is done it hands the session to a caller who still waits. So
// an idle manager computes on the caller's thread at once, no thread is woken on the way, and under load batches form
// by themselves out of what has come meanwhile. A caller's callbacks are called on its own thread, never on a leader's,
// and a leader that has some to call hands over first: a slow or throwing one holds nobody up.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "manager/batch_request.h"
#include "manager/recovery.h"
#include "manager/request_queue.h"
#include "remuda/model_pool.h"

namespace remuda {

// An instance and the work that it does for requests. Between two steps it has nothing in work, or parts that take
// several steps.
class BatchSession {
 public:
  using Requests = std::vector<std::shared_ptr<BatchRequest>>;

  virtual ~BatchSession() = default;  // Gives the instance back.

  // Called under the batcher's lock, never while step() runs. Those that have something to tell a caller add its
  // request to `changed`.
  //
  // Takes parts from the queue, as many as there is room for.
  virtual void take(RequestQueue& queue, Requests& changed) = 0;
  // Gives results to requests.
  virtual void settle(Requests& changed) = 0;
  // Lets go of the parts of requests that are over.
  virtual void drop_ended(Requests& changed) = 0;
  // Whether it has no parts.
  virtual bool is_idle() const = 0;
  virtual bool works_for(const BatchCaller& caller) const = 0;

  // Computes, without the lock. An error is one of the requests that it concerns: nothing is thrown.
  virtual void step() noexcept = 0;

  // After step(): why its GPU could not compute what was taken, none of which is done then; null: it could.
  virtual std::exception_ptr place_error() const { return nullptr; }
  // Then, instead of settle(): all parts are their requests' again, and wait. Whose they were.
  virtual Requests take_back() { return {}; }
  // The instance is not to be pooled again.
  virtual void discard() {}
};

// How a session gets its instance.
struct SessionTerms {
  std::optional<std::chrono::nanoseconds> timeout = std::nullopt;
  Priority priority = Priority::kNormal;
  std::stop_token stop = {};                  // The wait is not worth going on with.
  std::function<bool()> cancelled = nullptr;  // The same, for asking.
};

struct BatcherOptions {
  std::string name;  // Of the pool, for messages.
  // Sessions at the same time, at least 1; see sessions_for(). A request opens one more only where those there are have
  // left requests in the queue.
  int64_t max_sessions = 1;
  // How many calls may wait beside those for which another session could be opened; one more gets Overloaded.
  std::optional<int64_t> max_waiting = std::nullopt;
  // Waits for an instance. Throws as acquire() does.
  std::function<std::unique_ptr<BatchSession>(const SessionTerms&)> open;
  // Null where that would mean to wait.
  std::function<std::unique_ptr<BatchSession>()> try_open;
  // Callers in the pool's own queue, to whom a session gives way.
  std::function<int64_t()> pool_waiting;
  // A call was refused.
  std::function<void()> on_overload;
  // What becomes of work that failed with a place_error(). Called with the batcher's lock. Null: kFail.
  std::function<Recovery(const std::exception_ptr&)> recovery = nullptr;
  // That begins, for so many calls; 0: for none that it hadn't begun for.
  std::function<void(Recovery, int64_t calls, const std::exception_ptr&)> on_recovery = nullptr;
};

// How many sessions are worth opening on so many compute threads. One keeps a few threads busy, and two that share them
// would both have smaller batches, and each other's data in the caches (two threads: 0.95 of what one session does).
inline int64_t sessions_for(int threads) {
  constexpr int64_t kThreadsOfASession = 4;
  return (threads + kThreadsOfASession - 1) / kThreadsOfASession;
}

// The label of a session's lease.
inline constexpr const char* kJoinedCalls = "calls without an instance";

inline AcquireOptions acquire_options(const SessionTerms& terms) {
  return {.timeout = terms.timeout,
          .priority = terms.priority,
          .label = kJoinedCalls,
          .stop_token = terms.stop,
          .cancelled = terms.cancelled};
}

// A session's instance. It is gone with this: what works on it comes after it.
template <typename Instance>
class SessionLease {
 public:
  explicit SessionLease(Lease<Instance> lease) : lease_(std::move(lease)) {}
  ~SessionLease() {
    if (is_discarded_) lease_.discard();
  }
  SessionLease(const SessionLease&) = delete;
  SessionLease& operator=(const SessionLease&) = delete;

  Instance* operator->() const { return lease_.get(); }
  // It is not to be pooled again.
  void discard() { is_discarded_ = true; }

 private:
  Lease<Instance> lease_;
  bool is_discarded_ = false;
};

// A thread with requests. Guarded by the batcher's lock.
struct BatchCaller {
  std::condition_variable wake;
  bool waits = false;      // And may be given a session.
  bool has_tried = false;  // To open a session, since it last waited.
  std::vector<std::shared_ptr<BatchRequest>> requests;
  struct OpenSession* leads = nullptr;
};

// A request that is to be made and waited for on the batcher's thread.
struct Submission {
  std::function<std::shared_ptr<BatchRequest>()> make;                     // May throw.
  std::function<void(BatchRequest* request, std::exception_ptr)> resolve;  // Once; null with an error.
};

// Thread-safe.
class Batcher {
 public:
  explicit Batcher(BatcherOptions options);
  // As close(); then waits for callers in run(), whose requests are in work, and for the thread.
  ~Batcher();
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;

  // Returns when the request is done. Throws its error: what its callbacks or its computing threw, TimeoutError,
  // Error(kCancelled), Overloaded, PoolClosed, what opening a session throws.
  // `taken_in`: it goes on with a call that was taken in, and is not refused for want of room any more.
  void run(const std::shared_ptr<BatchRequest>& request, bool taken_in = false);

  // Returns at once. The first one starts the batcher's thread, which leads sessions where no caller does.
  void submit(Submission submission);

  // Final: requests that wait get PoolClosed, and so do all that were submitted. A caller who leads finishes its own.
  void close();

 private:
  using Clock = Deadline::Clock;
  using Lock = std::unique_lock<std::mutex>;
  using Pointer = std::shared_ptr<BatchRequest>;

  // What ends a caller's wait for the pool, beside the pool.
  struct Interruption {
    Pointer request;  // That was cancelled, if one was; or whose callback threw.
    std::exception_ptr error;
    bool happened = false;
  };

  using OnStop = std::stop_callback<std::function<void()>>;

  struct Submitted {
    Pointer request;
    Submission submission;
    std::unique_ptr<OnStop> on_stop;  // Goes without the lock, which a callback that runs meanwhile takes.
  };

  void enter(BatchCaller& caller, const Pointer& request);
  void leave(Lock& lock, BatchCaller& caller) noexcept;
  void serve(Lock& lock, BatchCaller& caller);
  void attend(Lock& lock, BatchCaller& caller);
  void turn(Lock& lock, BatchCaller& caller);
  void recover(Lock& lock, BatchCaller& caller, const std::exception_ptr& error);
  void wait(Lock& lock, BatchCaller& caller);

  bool may_open(const BatchCaller& caller) const;
  bool is_most_urgent(const BatchCaller& caller) const;
  void open(Lock& lock, BatchCaller& caller);
  bool is_interrupted(const BatchCaller& caller, Interruption& interruption) const;
  void fail_to_open(BatchCaller& caller, const Pointer& request, const std::exception_ptr& error);
  void hand_over(Lock& lock, BatchCaller& caller);
  void hand_over(Lock& lock, OpenSession& session);
  void hand_over_leaderless(Lock& lock);
  void destroy(Lock& lock, OpenSession& session);
  BatchCaller* successor(const OpenSession& session) const;
  void retire_if_due(OpenSession& session) const;
  bool takes(const OpenSession& session) const;

  void stop(BatchRequest& request) noexcept;
  void end(BatchRequest& request, std::exception_ptr error, bool may_keep_results = false);
  void end_late();
  void wake(BatchCaller* caller);
  void wake(BatchSession::Requests& changed);
  void wake_opener();
  std::exception_ptr cancelled_error(const BatchRequest& request) const;
  std::exception_ptr timeout_error(const BatchRequest& request) const;
  std::exception_ptr closed_error() const;
  // Why a call can't be taken in now, which counts as a refusal; null: it can.
  std::exception_ptr refuse(Lock& lock, bool taken_in = false) const;

  void start_thread();
  void join_thread();
  void serve_submissions();
  bool make_submitted(Lock& lock);
  bool resolve_submitted(Lock& lock);

  const BatcherOptions options_;
  mutable std::mutex mutex_;
  RequestQueue queue_;
  std::list<OpenSession> sessions_;
  std::vector<OpenSession*> leaderless_;
  std::vector<BatchCaller*> callers_;
  std::condition_variable left_;  // A caller.
  bool closed_ = false;
  // Who waits for the pool, at most one.
  BatchCaller* opener_ = nullptr;
  Priority opener_priority_ = Priority::kNormal;
  std::stop_source opener_stop_;

  std::thread thread_;
  int64_t thread_process_ = 0;  // In which it runs.
  bool stopping_ = false;
  BatchCaller submitter_;  // The thread, as a caller.
  std::deque<Submission> inbox_;
  std::vector<Submitted> submitted_;
};

// The future of a request that is made on the batcher's thread and computed there; `take` is what gives its result.
template <typename Result, typename Make, typename Take>
std::future<Result> submit(Batcher& batcher, Make make, Take take) {
  const auto promise = std::make_shared<std::promise<Result>>();
  batcher.submit({.make = std::move(make), .resolve = [promise, take](BatchRequest* request, const auto& error) {
                    if (error != nullptr) {
                      promise->set_exception(error);
                    } else {
                      promise->set_value(take(*request));
                    }
                  }});
  return promise->get_future();
}

}  // namespace remuda
