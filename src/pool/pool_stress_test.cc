// Random use: against a model of the pool on one thread, and from many threads with a checker.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>  // Needs gtest.h before it.

#include <algorithm>
#include <new>
#include <random>
#include <utility>
#include <vector>

#include "pool/pool_test_support.h"

namespace remuda::pool_test {
namespace {

void check_stats(const PoolStats& stats) {
  ASSERT_EQ(stats.total, stats.available + stats.in_use + stats.creating);
  ASSERT_LE(stats.available + stats.in_use, static_cast<int64_t>(stats.created - stats.destroyed));
}

// What the pool should hold, for one thread: counts are all there is to know.
struct Reference {
  int64_t max = 0;
  int64_t idle = 0;
  std::vector<bool> leased_is_doomed = {};  // In the order of the leases; true: destroyed when it comes home.

  int64_t total() const { return idle + static_cast<int64_t>(leased_is_doomed.size()); }
};

RC_GTEST_PROP(PoolStress, BehavesAsItsReferenceOnOneThread, ()) {
  std::atomic<int> live{0};
  Reference reference{.max = *rc::gen::inRange<int64_t>(1, 5)};
  Pool pool({.max_instances = reference.max}, counting_factory(live));
  std::vector<Lease<Counted>> leases;
  const auto steps = *rc::gen::container<std::vector<std::pair<int, int>>>(
      rc::gen::pair(rc::gen::inRange(0, 10), rc::gen::inRange(0, 8)));
  for (const auto& [action, number] : steps) {
    if (action < 4) {
      const bool doomed = action == 3;
      const bool possible = reference.idle > 0 || reference.total() < reference.max;
      try {
        leases.push_back(pool.acquire({.timeout = milliseconds(0), .destroy_after_use = doomed}));
        RC_ASSERT(possible);
        if (reference.idle > 0) --reference.idle;
        reference.leased_is_doomed.push_back(doomed);
      } catch (const TimeoutError&) {
        RC_ASSERT(!possible);
      }
    } else if (action < 7 && !leases.empty()) {
      const auto which = static_cast<std::ptrdiff_t>(static_cast<size_t>(number) % leases.size());
      const bool discard = action == 6;
      const bool gone =
          discard || reference.leased_is_doomed[static_cast<size_t>(which)] || reference.total() > reference.max;
      if (discard) leases[static_cast<size_t>(which)].discard();
      leases.erase(leases.begin() + which);
      reference.leased_is_doomed.erase(reference.leased_is_doomed.begin() + which);
      if (!gone) ++reference.idle;
    } else if (action == 7) {
      RC_ASSERT(pool.cleanup() == leases.empty());
      reference.idle = 0;
      reference.leased_is_doomed.assign(leases.size(), true);
    } else if (action == 8) {
      const int64_t expected = std::clamp<int64_t>(reference.total() - number, 0, reference.idle);
      RC_ASSERT(pool.shrink(number) == expected);
      reference.idle -= expected;
    } else if (action == 9) {
      reference.max = 1 + number;
      pool.resize(reference.max);
      reference.idle -= std::clamp<int64_t>(reference.total() - reference.max, 0, reference.idle);
    }
    const PoolStats stats = pool.get_pool_stats();
    RC_ASSERT(stats.available == reference.idle);
    RC_ASSERT(stats.total == reference.total());
    RC_ASSERT(live == reference.total());
    RC_ASSERT(static_cast<int64_t>(stats.created - stats.destroyed) == reference.total());
  }
}

void use_at_random(Pool& pool, uint32_t seed) {
  std::mt19937 random(seed);
  for (int i = 0; i < 400; ++i) {
    const uint32_t choice = random() % 16;
    try {
      if (choice == 0) {
        pool.cleanup();
      } else if (choice == 1) {
        pool.resize(1 + random() % 4);
      } else if (choice == 2) {
        pool.shrink(random() % 3);
      } else if (choice == 3) {
        Counted* instance = pool.get_instance(kPatience);
        EXPECT_EQ(++instance->users, 1);
        --instance->users;
        pool.release_instance(instance);
      } else {
        Lease<Counted> lease = pool.acquire({.timeout = std::chrono::microseconds(random() % 2000),
                                             .destroy_after_use = choice == 4,
                                             .priority = static_cast<Priority>(random() % 3)});
        EXPECT_EQ(++lease->users, 1);
        if (choice == 5) std::this_thread::yield();
        --lease->users;
        if (choice == 6) lease.discard();
      }
    } catch (const TimeoutError&) {
    } catch (const std::bad_alloc&) {  // The factory's.
    }
    check_stats(pool.get_pool_stats());
  }
}

TEST(PoolStress, ManyThreadsNeverShareAnInstanceNorLoseOne) {
  std::atomic<int> live{0};
  std::atomic<int> calls{0};
  {
    Pool pool({.max_instances = 2}, [&] {
      if (++calls % 7 == 0) throw std::bad_alloc();
      return std::make_unique<Counted>(live);
    });
    std::vector<std::thread> threads;
    for (uint32_t t = 0; t < 6; ++t) threads.emplace_back([&pool, t] { use_at_random(pool, t); });
    for (std::thread& thread : threads) thread.join();
    const PoolStats stats = pool.get_pool_stats();
    EXPECT_EQ(stats.in_use, 0);
    EXPECT_EQ(stats.waiting, 0);
    EXPECT_EQ(stats.total, live);
    EXPECT_EQ(stats.created - stats.destroyed, static_cast<uint64_t>(stats.total));
    EXPECT_TRUE(pool.cleanup());
  }
  EXPECT_EQ(live, 0);
}

}  // namespace
}  // namespace remuda::pool_test
