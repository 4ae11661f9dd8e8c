// What the pool's tests share: an instance that counts its kind, and waiting for a pool to reach a state.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>

#include "remuda/error.h"
#include "remuda/model_pool.h"

namespace remuda::pool_test {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Long enough for any machine; a test that reaches it has failed.
inline constexpr seconds kPatience{30};

struct Counted : ModelInstance {
  explicit Counted(std::atomic<int>& count) : ModelInstance({.shared_bytes = 100, .private_bytes = 10}), live(count) {
    ++live;
  }
  ~Counted() override { --live; }

  std::atomic<int>& live;
  std::atomic<int> users{0};  // More than 1 is a pool that gave one instance to two callers.
};

using Pool = ModelPool<Counted>;

inline Pool::Factory counting_factory(std::atomic<int>& live) {
  return [&live] { return std::make_unique<Counted>(live); };
}

// Looks until `reached` is true of the statistics. A queue can't be watched from outside in any other way.
inline void wait_for(const Pool& pool, const std::function<bool(const PoolStats&)>& reached) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!reached(pool.get_pool_stats())) {
    ASSERT_LT(std::chrono::steady_clock::now(), end) << "the pool never reached the state";
    std::this_thread::yield();
  }
}

inline void wait_for_waiters(const Pool& pool, int64_t count) {
  wait_for(pool, [count](const PoolStats& stats) { return stats.waiting == count; });
}

}  // namespace remuda::pool_test
