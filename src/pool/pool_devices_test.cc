// What a pool does where devices have no memory, fail or are lost.
#include <gmock/gmock.h>

#include <vector>

#include "base/log_test_support.h"
#include "device/memory_budget.h"
#include "pool/pool_test_support.h"

namespace remuda::pool_test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

struct OnDevice : ModelInstance {
  explicit OnDevice(std::string device) : ModelInstance({.device = std::move(device)}) {}
};

using DevicePool = ModelPool<OnDevice>;

// Instances on cuda:0, cuda:1, cuda:0, ...
DevicePool::Factory on_two_gpus() {
  return [count = std::make_shared<std::atomic<int>>(0)] {
    return std::make_unique<OnDevice>((*count)++ % 2 == 0 ? "cuda:0" : "cuda:1");
  };
}

// The reasons for which instances were destroyed, and how often.
using Reasons = std::map<DestroyReason, int>;
std::function<void(const PoolEvent&)> count_in(Reasons& reasons) {
  return [&reasons](const PoolEvent& event) {
    if (event.reason) ++reasons[*event.reason];
  };
}

TEST(PoolDevices, ALostOneTakesItsIdleInstancesAtOnceAndThoseOnLeaseWhenTheyComeHome) {
  Reasons reasons;
  DevicePool pool({.max_instances = 4, .on_event = count_in(reasons)}, on_two_gpus());
  std::vector<Lease<OnDevice>> leases;
  for (int i = 0; i < 4; ++i) leases.push_back(pool.acquire());
  leases[0].release();
  leases[1].release();
  EXPECT_EQ(pool.lose_device("cuda:0"), 1);
  EXPECT_EQ(reasons, (Reasons{{DestroyReason::kLost, 1}}));
  EXPECT_EQ(pool.get_pool_stats().by_device, (std::map<std::string, int64_t>{{"cuda:0", 1}, {"cuda:1", 2}}));
  leases.clear();
  EXPECT_EQ(reasons, (Reasons{{DestroyReason::kLost, 2}}));
  const PoolStats stats = pool.get_pool_stats();
  EXPECT_EQ(stats.by_device, (std::map<std::string, int64_t>{{"cuda:1", 2}})) << "others are left alone";
  EXPECT_EQ(stats.lost, 2u);
  EXPECT_EQ(stats.evicted, 0u);
}

TEST(PoolDevices, ALostOneLetsTheNextWaiterMakeAnInstanceElsewhere) {
  std::atomic<bool> is_lost{false};
  DevicePool pool({.max_instances = 1}, [&] { return std::make_unique<OnDevice>(is_lost ? "cpu" : "cuda:0"); });
  auto lease = std::make_unique<Lease<OnDevice>>(pool.acquire());
  std::thread waiter([&] { EXPECT_EQ(pool.acquire({.timeout = kPatience})->metadata().device, "cpu"); });
  while (pool.waiting() == 0) std::this_thread::yield();
  is_lost = true;
  EXPECT_EQ(pool.lose_device("cuda:0"), 0);
  lease.reset();
  waiter.join();
}

TEST(PoolDevices, AFullOneTakesItsIdleInstancesAndMayHaveOthersLater) {
  DevicePool pool({.max_instances = 2}, on_two_gpus());
  {
    const auto first = pool.acquire(), second = pool.acquire();
  }
  EXPECT_EQ(pool.evict_idle_on("cuda:0"), 1);
  EXPECT_EQ(pool.evict_idle_on("cuda:0"), 0);
  EXPECT_EQ(pool.get_pool_stats().evicted, 1u);
  const auto first = pool.acquire(), second = pool.acquire();
  EXPECT_EQ(second->metadata().device, "cuda:0");
}

TEST(PoolDevices, AnInstanceWhoseUseFailedIsNotPooledAgain) {
  Reasons reasons;
  DevicePool pool({.max_instances = 1, .on_event = count_in(reasons)}, on_two_gpus());
  pool.acquire()->mark_failed();
  EXPECT_EQ(pool.get_pool_stats().available, 0);
  EXPECT_EQ(pool.get_pool_stats().lost, 1u);
  EXPECT_EQ(reasons, (Reasons{{DestroyReason::kFailed, 1}}));
}

TEST(PoolDevices, AnInstanceWithABetterPlaceMakesWayForOneThere) {
  Reasons reasons;
  std::atomic<bool> has_room{false};
  DevicePool pool({.max_instances = 1, .on_event = count_in(reasons)}, [&] {
    auto instance = std::make_unique<OnDevice>(has_room ? "cuda:0" : "cpu");
    if (!has_room) instance->move_when([&] { return has_room.load(); });
    return instance;
  });
  const uint64_t id = pool.acquire()->metadata().id;
  EXPECT_EQ(pool.acquire()->metadata().id, id);
  has_room = true;
  EXPECT_EQ(pool.acquire()->metadata().id, id) << "it is asked when it comes home";
  EXPECT_EQ(pool.acquire()->metadata().device, "cuda:0");
  EXPECT_EQ(pool.acquire()->metadata().use_count, 2u);
  EXPECT_EQ(reasons, (Reasons{{DestroyReason::kMoved, 1}}));
}

// A factory for which there is memory when `has_room` says so.
Pool::Factory when_there_is_room(std::atomic<int>& live, std::atomic<bool>& has_room) {
  return [&] {
    if (!has_room) throw NoRoomYet("42 bytes are missing");
    return std::make_unique<Counted>(live);
  };
}

TEST(PoolDevices, ACallerWaitsForMemoryThatOthersMayGiveBack) {
  const LoggedLines logged;
  std::atomic<int> live{0};
  std::atomic<bool> has_room{false};
  Pool pool({.max_instances = 1}, when_there_is_room(live, has_room));
  EXPECT_FALSE(pool.try_acquire()) << "that waits for nothing";
  std::thread caller([&] { EXPECT_NE(pool.acquire({.timeout = kPatience}).get(), nullptr); });
  wait_for(pool, [](const PoolStats& stats) { return stats.out_of_memory >= 3; });  // Tried again, and again.
  has_room = true;
  caller.join();
  EXPECT_EQ(logged.count("a caller waits for memory: 42 bytes are missing"), 1);
  EXPECT_EQ(logged.all().size(), 1u);
}

TEST(PoolDevices, ItsWaitEndsAtItsDeadlineWithTheFigures) {
  std::atomic<int> live{0};
  std::atomic<bool> has_room{false};
  Pool pool({.max_instances = 1}, when_there_is_room(live, has_room));
  EXPECT_THAT([&] { pool.acquire({.timeout = milliseconds(300)}); },
              ThrowsMessage<OutOfMemory>(
                  AllOf(HasSubstr("no memory for an instance within 0.3"), HasSubstr("42 bytes are missing"))));
  const PoolStats stats = pool.get_pool_stats();
  EXPECT_EQ(stats.timeouts, 1u);
  EXPECT_EQ(stats.total + stats.waiting, 0);
  EXPECT_GE(stats.out_of_memory, 2u);
}

TEST(PoolDevices, ItsWaitCanBeCancelled) {
  std::atomic<int> live{0};
  std::atomic<bool> has_room{false};
  Pool pool({.max_instances = 1}, when_there_is_room(live, has_room));
  std::stop_source stop;
  std::thread caller([&] {
    try {
      pool.acquire({.stop_token = stop.get_token()});
      ADD_FAILURE() << "there is no room";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCancelled);
    }
  });
  wait_for_waiters(pool, 1);
  stop.request_stop();
  caller.join();
}

}  // namespace
}  // namespace remuda::pool_test
