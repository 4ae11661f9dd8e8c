// Histograms, leaks, and the figures of a pool.
#include "remuda/pool_stats.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>  // Needs gtest.h before it.

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "pool/pool_test_support.h"
#include "remuda/pool_snapshot.h"

namespace remuda::pool_test {
namespace {

using std::chrono::nanoseconds;

TEST(DurationHistogram, IsZeroWhenEmpty) {
  const DurationHistogram histogram;
  EXPECT_EQ(histogram.percentile(0.5), nanoseconds(0));
  EXPECT_EQ(histogram.mean(), nanoseconds(0));
}

TEST(DurationHistogram, TakesNegativeAndHugeDurations) {
  DurationHistogram histogram;
  histogram.record(nanoseconds(-5));
  EXPECT_EQ(histogram.max(), nanoseconds(0));
  histogram.record(std::chrono::hours(24 * 365));
  EXPECT_EQ(histogram.max(), std::chrono::hours(24 * 365));
  EXPECT_EQ(histogram.count(), 2);
}

RC_GTEST_PROP(DurationHistogram, PercentilesAreWithinAQuarterOfTheTruth, ()) {
  const auto values = *rc::gen::nonEmpty(rc::gen::container<std::vector<int64_t>>(rc::gen::mapcat(
      rc::gen::inRange(1, 46), [](int bits) { return rc::gen::inRange<int64_t>(0, int64_t{1} << bits); })));
  DurationHistogram histogram;
  for (const int64_t value : values) histogram.record(nanoseconds(value));
  std::vector<int64_t> sorted = values;
  std::ranges::sort(sorted);
  RC_ASSERT(histogram.max().count() == sorted.back());
  for (const double p : {0.5, 0.9, 0.99, 1.0}) {
    const auto rank = static_cast<size_t>(std::ceil(p * static_cast<double>(sorted.size())));
    const int64_t truth = sorted[std::max<size_t>(rank, 1) - 1];
    const int64_t found = histogram.percentile(p).count();
    RC_ASSERT(found >= truth);
    RC_ASSERT(static_cast<double>(found) <= 1.25 * static_cast<double>(truth));
  }
}

TEST(PoolStats, AForgottenLeaseIsReportedOnce) {
  std::atomic<int> live{0};
  testing::internal::CaptureStderr();
  Pool pool({.name = "leaky", .leak_threshold = nanoseconds(1)}, counting_factory(live));
  Lease<Counted> held = pool.acquire({.label = "forgetful"});
  wait_for(pool, [](const PoolStats& stats) { return stats.leaks == 1; });
  EXPECT_EQ(pool.get_pool_stats().leaks, 1);
  held.release();
  EXPECT_EQ(pool.get_pool_stats().leaks, 1);
  pool.close();  // It is counted first, then logged by a thread that this waits for.
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find("forgetful"), std::string::npos) << log;
  EXPECT_EQ(log.find("forgetful"), log.rfind("forgetful")) << log;
}

TEST(PoolStats, CountsMemorySharedOnceAndPrivatePerInstance) {
  std::atomic<int> live{0};
  Pool pool({.max_instances = 2}, counting_factory(live));
  const Lease<Counted> a = pool.acquire();
  const Lease<Counted> b = pool.acquire();
  const PoolStats stats = pool.get_pool_stats();
  EXPECT_EQ(stats.memory_shared, 100);
  EXPECT_EQ(stats.memory_private, 20);
  EXPECT_EQ(stats.acquires, 2);
  EXPECT_EQ(stats.wait_time.count(), 2);
  EXPECT_EQ(stats.create_time.count(), 2);
  EXPECT_EQ(stats.use_time.count(), 0);
}

TEST(PoolSnapshot, HasEveryPoolThatIsNotClosedInTheOrderOfTheirMaking) {
  const auto names = [] {
    std::vector<std::string> found;
    for (const PoolStats& stats : snapshot_pools()) found.push_back(stats.name);
    return found;
  };
  std::atomic<int> live{0};
  Pool first({.name = "first"}, counting_factory(live));
  auto second = std::make_unique<Pool>(PoolOptions{.name = "second"}, counting_factory(live));
  Pool third({.name = "third"}, counting_factory(live));
  const Lease<Counted> lease = second->acquire();
  EXPECT_EQ(names(), (std::vector<std::string>{"first", "second", "third"}));
  EXPECT_EQ(snapshot_pools()[1].in_use, 1);
  second.reset();
  third.close();
  EXPECT_EQ(names(), std::vector<std::string>{"first"});
}

}  // namespace
}  // namespace remuda::pool_test
