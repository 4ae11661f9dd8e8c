// How instances come home: pooled, destroyed, twice, to the wrong pool, or to a pool that is gone.
#include "pool/pool_test_support.h"

namespace remuda::pool_test {
namespace {

TEST(PoolRelease, AnInstanceIsUsedAgain) {
  std::atomic<int> live{0};
  Pool pool({}, counting_factory(live));
  const uint64_t id = pool.acquire()->metadata().id;
  const Lease<Counted> again = pool.acquire();
  EXPECT_EQ(again->metadata().id, id);
  EXPECT_EQ(again->metadata().use_count, 2);
}

TEST(PoolRelease, DestroyAfterUseAndDiscardDestroy) {
  std::atomic<int> live{0};
  Pool pool({}, counting_factory(live));
  pool.acquire({.destroy_after_use = true});
  EXPECT_EQ(live, 0);
  Lease<Counted> lease = pool.acquire();
  lease.discard();
  EXPECT_EQ(lease.get(), nullptr);
  EXPECT_EQ(live, 0);
  EXPECT_EQ(pool.get_pool_stats().destroyed, 2);
}

TEST(PoolRelease, AMovedLeaseReleasesOnce) {
  std::atomic<int> live{0};
  Pool pool({.max_instances = 2}, counting_factory(live));
  Lease<Counted> a = pool.acquire();
  Lease<Counted> b = pool.acquire();
  a = std::move(b);  // Releases a's own.
  EXPECT_EQ(pool.get_pool_stats().available, 1);
  a.release();
  a.release();
  EXPECT_EQ(pool.get_pool_stats().available, 2);
}

TEST(PoolRelease, UnhealthyInstancesAreDestroyedAlsoWhenTheCheckThrows) {
  std::atomic<int> live{0};
  int verdict = 0;
  Pool pool({.is_healthy =
                 [&](ModelInstance&) {
                   if (verdict == 1) throw std::runtime_error("device lost");
                   if (verdict == 2) throw 7;
                   return false;
                 }},
            counting_factory(live));
  for (verdict = 0; verdict < 3; ++verdict) {
    pool.acquire();
    EXPECT_EQ(live, 0) << verdict;
  }
}

TEST(PoolRelease, TwiceOrToAnotherPoolIsAnErrorThatNamesTheInstance) {
  std::atomic<int> live{0};
  Pool pool({.name = "mine"}, counting_factory(live));
  Pool other({.name = "other"}, counting_factory(live));
  Counted* instance = pool.get_instance(seconds(1));
  const std::string id = std::to_string(instance->metadata().id);
  EXPECT_THROW(other.release_instance(instance), Error);
  EXPECT_THROW(pool.release_instance(nullptr), Error);
  pool.release_instance(instance);
  try {
    pool.release_instance(instance);
    FAIL() << "expected an Error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_NE(std::string(error.what()).find("instance " + id), std::string::npos) << error.what();
  }
  const Lease<Counted> lease = pool.acquire();
  EXPECT_THROW(pool.release_instance(lease.get()), Error);  // The lease's to release.
  EXPECT_EQ(pool.get_pool_stats().in_use, 1);
  EXPECT_EQ(other.get_pool_stats().total, 0);
}

TEST(PoolRelease, LeasesOutliveThePool) {
  std::atomic<int> live{0};
  auto pool = std::make_unique<Pool>(PoolOptions{}, counting_factory(live));
  Lease<Counted> lease = pool->acquire();
  pool->acquire();
  EXPECT_EQ(live, 2);
  pool.reset();
  EXPECT_EQ(live, 1);
  EXPECT_EQ(lease->metadata().use_count, 1);
  lease.release();
  EXPECT_EQ(live, 0);
}

TEST(PoolRelease, ADisabledPoolMakesOneForEveryAcquire) {
  std::atomic<int> live{0};
  Pool pool({.max_instances = 1, .enabled = false}, counting_factory(live));
  {
    const Lease<Counted> a = pool.acquire();
    const std::optional<Lease<Counted>> b = pool.try_acquire();
    ASSERT_TRUE(b);
    EXPECT_EQ(pool.get_pool_stats().in_use, 2);
  }
  EXPECT_EQ(live, 0);
  EXPECT_EQ(pool.get_pool_stats().created, 2);
}

}  // namespace
}  // namespace remuda::pool_test
