// A point in time by which an operation must be done. A timeout becomes one at the door, so that every later
// wait uses what is left of it.
#pragma once

#include <chrono>
#include <optional>

namespace remuda {

class Deadline {
 public:
  using Clock = std::chrono::steady_clock;

  static Deadline never() { return Deadline(Clock::time_point::max()); }
  static Deadline at(Clock::time_point when) { return Deadline(when); }

  // A negative timeout is a deadline that has passed; one too long for the clock is `never`.
  static Deadline after(Clock::duration timeout) {
    const Clock::time_point now = Clock::now();
    return timeout >= Clock::time_point::max() - now ? never() : Deadline(now + timeout);
  }

  // No timeout is no deadline.
  static Deadline after(std::optional<Clock::duration> timeout) { return timeout ? after(*timeout) : never(); }

  bool is_never() const { return when_ == Clock::time_point::max(); }
  bool expired() const { return !is_never() && Clock::now() >= when_; }
  Clock::time_point when() const { return when_; }
  // What is left as a timeout, for a wait that takes one; negative where the deadline has passed.
  std::optional<Clock::duration> left() const {
    return is_never() ? std::nullopt : std::optional(when_ - Clock::now());
  }

 private:
  explicit Deadline(Clock::time_point when) : when_(when) {}

  Clock::time_point when_;
};

}  // namespace remuda
