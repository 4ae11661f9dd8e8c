// The process's compute threads. parallel_for is cooperative: the caller works too, idle workers help, so one request
// uses every core and many requests share them. Counting callers inside parallel_for and the workers that help them,
// there are never more than threads() at work, unless there are more callers than that.
//
// A worker without work spins for some tens of microseconds, then sleeps until it is woken. Workers block all signals.
//
// fork(): a child has none of its parent's workers. There a pool of the parent's runs everything on the caller, and
// global() makes a new one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <type_traits>

namespace remuda {

class ComputePool {
 private:
  struct State;

 public:
  // `threads` counts the caller, so threads - 1 workers are started; 0 means `available_threads()`.
  explicit ComputePool(int threads = 0);
  // Waits for the workers; no parallel_for may be running.
  ~ComputePool();
  ComputePool(const ComputePool&) = delete;
  ComputePool& operator=(const ComputePool&) = delete;

  // The one pool that the process shares, made at its first use. Never destroyed.
  static ComputePool& global();
  // The size that global() will have; an error (kInvalidArgument) once it has been made with another.
  static void configure_global(int threads);

  int threads() const;

  // Calls body(begin, end) for disjoint ranges that cover [0, count), each at most `grain` long, on the caller and on
  // idle workers, and returns when all are done. Who runs which range, and when, is not defined: results must not
  // depend on it, and ranges must not wait for each other. When a body throws, ranges that have not begun are left out,
  // and the first exception is thrown again here once the others have ended. Thread-safe, and may be called from inside
  // a body.
  template <typename Body>
  void parallel_for(int64_t count, int64_t grain, Body&& body) {
    run(count, grain, RangeFunction{&body, [](const void* b, int64_t begin, int64_t end) {
                                      (*static_cast<const std::remove_reference_t<Body>*>(b))(begin, end);
                                    }});
  }

  // Counts its thread among those at work until it is destroyed, between its parallel_fors as well: for a computation
  // of many short ones, where to wake a worker for every moment between two of them costs other callers more than the
  // worker brings. To be destroyed by the thread that made it; may be nested.
  class Computation {
   public:
    explicit Computation(ComputePool& pool);
    ~Computation();
    Computation(const Computation&) = delete;
    Computation& operator=(const Computation&) = delete;

   private:
    State* entered_ = nullptr;  // Null in one that is inside another, or where there are no workers to count for.
    const void* outer_ = nullptr;
  };

 private:
  // A reference to a callable: no allocation on the way.
  struct RangeFunction {
    const void* body;
    void (*call)(const void* body, int64_t begin, int64_t end);
  };

  void run(int64_t count, int64_t grain, RangeFunction body);

  std::unique_ptr<State> state_;
};

// CPUs that this process may use: the smaller of its affinity mask and its cgroup's quota (v1 or v2) rounded up, at
// least 1.
int available_threads();

}  // namespace remuda
