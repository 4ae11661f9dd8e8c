// What every manager has, on a manager of one's own kind of model.
#include "remuda/model_manager.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace remuda {
namespace {

using namespace std::chrono_literals;

class Instance : public ModelInstance {
 public:
  explicit Instance(std::atomic<int>& live) : ModelInstance({.model_name = "own"}), live_(live) { ++live_; }
  ~Instance() override { --live_; }

 private:
  std::atomic<int>& live_;
};

class OwnManager : public AbstractModelManager<Instance> {
 public:
  explicit OwnManager(const Settings& settings) : AbstractModelManager(settings, "own") {}
  ~OwnManager() override { close(); }

  std::string model_name() const override { return "own"; }
  std::string model_type() const override { return "nothing"; }
  std::string get_device() const override { return "cpu"; }

  int live() const { return live_; }

 private:
  std::unique_ptr<Instance> make_instance() override { return std::make_unique<Instance>(live_); }

  std::atomic<int> live_{0};
};

TEST(ModelManager, UnusedInstancesGoAfterTheSettingsTime) {
  Settings settings;
  settings.idle_ttl = 20ms;
  OwnManager manager(settings);
  manager.warm_up();
  const auto end = std::chrono::steady_clock::now() + 30s;
  while (manager.live() > 0) {
    ASSERT_LT(std::chrono::steady_clock::now(), end);
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_EQ(manager.get_pool_stats().expired, 1);
}

TEST(ModelManager, LeasesBeyondTheSettingsThresholdAreInTheReport) {
  Settings settings;
  settings.leak_threshold = 1ms;
  OwnManager manager(settings);
  const Lease<Instance> lease = manager.acquire({.label = "forgetful"});
  std::this_thread::sleep_for(2ms);
  ASSERT_EQ(manager.leaks().size(), 1);
  EXPECT_EQ(manager.leaks()[0].label, "forgetful");
}

TEST(ModelManager, GrowsShrinksAndEvictsLive) {
  OwnManager manager({});
  manager.resize(3);
  {
    const Lease<Instance> a = manager.acquire();
    const Lease<Instance> b = manager.acquire();
    const Lease<Instance> c = manager.acquire();
    EXPECT_FALSE(manager.least_recent_use());
  }
  EXPECT_EQ(manager.shrink(2), 1);
  EXPECT_FALSE(manager.evict_idle(*manager.least_recent_use()));
  EXPECT_TRUE(manager.evict_idle(std::chrono::steady_clock::now()));
  manager.resize(1);
  EXPECT_EQ(manager.live(), 1);
  EXPECT_THROW(manager.resize(0), std::exception);
}

}  // namespace
}  // namespace remuda
