// The one thread that does what falls due in pools while nobody calls them.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "base/deadline.h"

namespace remuda {

// What the thread visits.
class Housekept {
 public:
  using Clock = Deadline::Clock;

  virtual ~Housekept() = default;
  // Does what is due; returns when the next visit is, max() for none until one is asked for.
  virtual Clock::time_point housekeep() noexcept = 0;
};

// The thread starts with the first visit that is asked for, sleeps until the next one is due, and ends when all that
// asked have been forgotten or destroyed, or with the process. Visits are one after another. No signal of the process
// is handled on it.
//
// Thread-safe. In the child of a fork it starts anew, with nothing to visit.
class Housekeeper {
 public:
  using Clock = Deadline::Clock;

  // This process's.
  static Housekeeper& global();

  // Asks for a visit then, or before. One that can't be had, because the system refuses a thread or the process is
  // ending, is logged and lost.
  void visit_at(const std::shared_ptr<Housekept>& whom, Clock::time_point when);
  // No visit begins after this, and none is under way: it waits for one, unless it is called by that visit. The thread
  // then holds nothing of `whom`.
  void forget(const Housekept* whom);

  bool is_running();
  // Ends the thread, for good, after the visit that is under way.
  void stop();

 private:
  struct Visit {
    std::weak_ptr<Housekept> whom;
    Clock::time_point due;
  };
  using Visits = std::map<const Housekept*, Visit>;

  void start();
  void run();
  void make_visit(std::unique_lock<std::mutex>& lock, Visits::iterator next);

  std::mutex mutex_;
  // All below are guarded by mutex_.
  std::condition_variable changed_;
  std::condition_variable visited_;
  Visits visits_;
  const Housekept* visiting_ = nullptr;
  std::thread thread_;
  bool running_ = false;
  bool stopped_ = false;
};

}  // namespace remuda
