// A call's work as the batcher sees it: parts that wait, parts that are in work, and how it ends.
#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>

#include "base/deadline.h"
#include "remuda/model_pool.h"

namespace remuda {

struct BatchCaller;

struct BatchRequestOptions {
  std::string what = "the work";  // In messages: "the embedding".
  Priority priority = Priority::kNormal;
  Deadline deadline = Deadline::never();
  // Whether the deadline ends the work, too. False: it bounds the wait until the first part is in work.
  bool deadline_ends_work = false;
  // Whether a request that is cancelled or late ends with what there is. False: with an error.
  bool keeps_results = false;
  std::function<bool()> cancelled = nullptr;  // Asked on the caller's thread alone, which polls where there is one.
  std::stop_token stop = {};                  // Cancels it at once, whatever the caller does.
};

// A request is shared by its caller and by the batches that work on it, so that a caller may leave at any time. Its
// parts (texts, documents) are computed in any batches, in order, each once.
//
// State is guarded by the batcher's lock, except what a batch computes: it has its parts to itself from begin_part() to
// end_part().
class BatchRequest {
 public:
  explicit BatchRequest(BatchRequestOptions options) : options_(std::move(options)) {}
  virtual ~BatchRequest() = default;
  BatchRequest(const BatchRequest&) = delete;
  BatchRequest& operator=(const BatchRequest&) = delete;

  const BatchRequestOptions& options() const { return options_; }

  // Whether parts of it are in no batch yet.
  virtual bool has_waiting() const = 0;
  // What the caller's callbacks are to be told. They are: collect_news() under the lock, then deliver_news() without,
  // both on the caller's thread; the latter may throw what a callback throws, which ends the request.
  virtual bool has_news() const { return false; }
  virtual void collect_news() {}
  virtual void deliver_news() {}

  // Whether a part has ever been in work.
  bool begun() const { return begun_; }
  void begin_part() {
    begun_ = true;
    ++parts_in_work_;
  }
  void end_part() {
    --parts_in_work_;
    room_deadline_ = Deadline::never();
  }
  // Its place could not compute it, and it waits again.
  void return_part() { --parts_in_work_; }

  // Its place has no memory, as this says: it waits for some until its deadline, or for so long. Returns whether it
  // didn't wait before.
  bool wait_for_room(std::exception_ptr why, Deadline::Clock::duration longest) {
    shortage_ = std::move(why);
    if (waits_for_room()) return false;
    room_deadline_ = Deadline::at(std::min(options_.deadline.when(), Deadline::after(longest).when()));
    return true;
  }
  bool waits_for_room() const { return !room_deadline_.is_never(); }
  Deadline room_deadline() const { return room_deadline_; }
  const std::exception_ptr& shortage() const { return shortage_; }

  bool is_of(const BatchCaller& caller) const { return caller_ == &caller; }

  // The first error counts. Parts in work go on, for nobody, until their batch looks.
  void fail(std::exception_ptr error) {
    if (error_ == nullptr) error_ = std::move(error);
  }
  // No more parts; those in work end with what there is.
  void end_early() { ended_early_ = true; }

  // Whether batches need not work on it any more.
  bool is_over() const { return error_ != nullptr || ended_early_; }
  // Whether its caller may take the results, or the error.
  bool is_done() const { return error_ != nullptr || (parts_in_work_ == 0 && (ended_early_ || !has_waiting())); }
  const std::exception_ptr& error() const { return error_; }

 private:
  friend class Batcher;
  friend class RequestQueue;

  const BatchRequestOptions options_;
  BatchCaller* caller_ = nullptr;  // Null when the caller has left.
  bool begun_ = false;
  bool ended_early_ = false;
  int64_t parts_in_work_ = 0;
  Deadline room_deadline_ = Deadline::never();
  std::exception_ptr shortage_;
  std::exception_ptr error_;
};

}  // namespace remuda
