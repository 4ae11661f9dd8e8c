#include "device/memory_budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "base/log.h"
#include "remuda/error.h"

namespace remuda {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;
using Clock = MemoryBudget::Clock;

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr auto kPatience = 30s;  // A test that reaches it has failed.

std::optional<uint64_t> unknown() { return std::nullopt; }

// A model that holds memory of a budget, as long as the test lets it.
class Model : public MemoryHolder {
 public:
  Model(MemoryBudget& budget, uint64_t bytes, uint64_t workspace = 0)
      : reservation_(
            budget.reserve({.bytes = bytes, .use = MemoryUse::kWeights, .what = "a model", .workspace = workspace})) {}

  std::optional<Clock::time_point> idle_since() override {
    const std::lock_guard lock(mutex_);
    return in_use_ || reservation_.bytes() == 0 ? std::nullopt : std::optional(used_at_);
  }
  bool evict() override {
    const std::lock_guard lock(mutex_);
    if (in_use_ || reservation_.bytes() == 0) return false;
    reservation_.release();
    return true;
  }
  std::optional<Clock::time_point> held_since() override {
    const std::lock_guard lock(mutex_);
    return is_pinned_ || reservation_.bytes() == 0 ? std::nullopt : std::optional(loaded_at_);
  }
  void drain(Clock::time_point) override {
    const std::lock_guard lock(mutex_);
    drained_ = true;
  }

  void use(bool in_use) {
    const std::lock_guard lock(mutex_);
    in_use_ = in_use;
    used_at_ = Clock::now();
  }
  void pin() { is_pinned_ = true; }
  void give_back() {
    const std::lock_guard lock(mutex_);
    reservation_.release();
  }
  bool is_there() {
    const std::lock_guard lock(mutex_);
    return reservation_.bytes() > 0;
  }
  bool was_drained() {
    const std::lock_guard lock(mutex_);
    return drained_;
  }

 private:
  std::mutex mutex_;
  Reservation reservation_;
  bool in_use_ = false;
  bool is_pinned_ = false;
  bool drained_ = false;
  const Clock::time_point loaded_at_ = Clock::now();
  Clock::time_point used_at_ = loaded_at_;
};

std::shared_ptr<Model> load(MemoryBudget& budget, uint64_t bytes, uint64_t workspace = 0) {
  auto model = std::make_shared<Model>(budget, bytes, workspace);
  budget.add_holder(model);
  return model;
}

void wait_until(const std::function<bool()>& reached) {
  const auto end = Clock::now() + kPatience;
  while (!reached()) {
    ASSERT_LT(Clock::now(), end);
    std::this_thread::sleep_for(1ms);
  }
}

class MemoryBudgetTest : public ::testing::Test {
 protected:
  MemoryBudget budget_{"test", unknown};
  MemoryBudget::Limit limit_ = budget_.limit_to(100 * kMiB);
};

TEST_F(MemoryBudgetTest, CountsByUseAndGivesBackWithTheReservation) {
  {
    Reservation weights = budget_.reserve({.bytes = 60 * kMiB, .use = MemoryUse::kWeights, .what = "m"});
    const Reservation mapped = weights.split(20 * kMiB, MemoryUse::kMappedWeights);
    const Reservation workspace = budget_.reserve({.bytes = 10 * kMiB});
    const MemoryBudgetStats stats = budget_.stats();
    EXPECT_EQ(stats.weights, 40 * kMiB);
    EXPECT_EQ(stats.mapped_weights, 20 * kMiB);
    EXPECT_EQ(stats.workspaces, 10 * kMiB);
    EXPECT_EQ(stats.used, 70 * kMiB);
    EXPECT_EQ(stats.models, 1);
    EXPECT_EQ(stats.limit, 100 * kMiB);
    weights.set_bytes(50 * kMiB);
    EXPECT_EQ(budget_.stats().used, 80 * kMiB);
  }
  EXPECT_EQ(budget_.stats().used, 0u);
  EXPECT_EQ(budget_.stats().models, 0);
  EXPECT_EQ(budget_.stats().peak, 80 * kMiB);
}

TEST_F(MemoryBudgetTest, AMovedReservationIsGivenBackOnce) {
  Reservation first = budget_.reserve({.bytes = kMiB});
  Reservation second = std::move(first);
  first = budget_.reserve({.bytes = 2 * kMiB});
  second = std::move(first);
  EXPECT_EQ(budget_.stats().used, 2 * kMiB);
  second.release();
  second.release();
  EXPECT_EQ(budget_.stats().used, 0u);
}

TEST_F(MemoryBudgetTest, WhatCanNeverFitIsRefusedAtOnceWithFiguresAndAdvice) {
  const auto start = Clock::now();
  EXPECT_THAT(
      [&] {
        budget_.reserve({.bytes = 90 * kMiB, .use = MemoryUse::kWeights, .what = "bert", .workspace = 11 * kMiB});
      },
      ThrowsMessage<OutOfMemory>(AllOf(HasSubstr("bert: needs 94371840 bytes of weights and 11534336 of workspace"),
                                       HasSubstr("104857600 bytes (memory_limit)"), HasSubstr("smaller precision"))));
  EXPECT_LT(Clock::now() - start, 5s) << "it waited for what can't come";
  EXPECT_EQ(budget_.stats().refusals, 1u);
  EXPECT_EQ(budget_.stats().used, 0u);
}

TEST_F(MemoryBudgetTest, TheLeastRecentlyUsedIdleModelGoesFirst) {
  const auto a = load(budget_, 40 * kMiB);
  const auto b = load(budget_, 40 * kMiB);
  a->use(false);  // Later than b.
  const auto c = load(budget_, 40 * kMiB);
  EXPECT_TRUE(a->is_there());
  EXPECT_FALSE(b->is_there());
  EXPECT_EQ(budget_.stats().evictions, 1u);
}

TEST_F(MemoryBudgetTest, WhatIsInUseStaysAndWhoWaitsGetsItWhenItComesHome) {
  const auto a = load(budget_, 60 * kMiB);
  a->use(true);
  std::atomic<bool> loaded = false;
  std::thread other([&] {
    const auto b = load(budget_, 60 * kMiB);
    loaded = true;
  });
  wait_until([&] { return budget_.stats().waiting == 1; });
  EXPECT_TRUE(a->is_there());
  EXPECT_FALSE(loaded);
  a->use(false);
  other.join();
  EXPECT_FALSE(a->is_there());
}

TEST_F(MemoryBudgetTest, TheWaitEndsAtTheCallersDeadline) {
  const auto a = load(budget_, 60 * kMiB);
  a->use(true);
  for (const auto timeout : {0ms, 30ms}) {
    const MemoryWait wait(Deadline::after(Clock::duration(timeout)));
    const auto start = Clock::now();
    const auto ask = [&] { load(budget_, 60 * kMiB); };
    if (timeout == 0ms) {
      EXPECT_THROW(ask(), OutOfMemory);
    } else {
      EXPECT_THAT(ask, ThrowsMessage<TimeoutError>(HasSubstr("62914560 are taken by the weights of 1 models")));
    }
    EXPECT_GE(Clock::now() - start, timeout);
    EXPECT_LT(Clock::now() - start, timeout + 5s);
  }
  EXPECT_FALSE(MemoryWait::current());
  EXPECT_EQ(budget_.stats().waiting, 0);
}

TEST_F(MemoryBudgetTest, WeightsLeaveRoomToComputeWithThem) {
  const auto a = load(budget_, 40 * kMiB, 20 * kMiB);
  a->use(true);
  const auto in_time = [] { return Deadline::after(Clock::duration(20ms)); };
  {
    const MemoryWait wait(in_time());
    EXPECT_THROW(load(budget_, 45 * kMiB), TimeoutError) << "20 MiB are for a's computation";
  }
  const auto b = load(budget_, 40 * kMiB);
  b->use(true);
  const Reservation workspace = budget_.reserve({.bytes = 20 * kMiB});
  const MemoryWait wait(in_time());
  EXPECT_THROW(budget_.reserve({.bytes = kMiB}), TimeoutError);
  EXPECT_EQ(budget_.reserve({.bytes = kMiB, .may_exceed = true}).bytes(), kMiB);
}

TEST_F(MemoryBudgetTest, WhoWaitsForWeightsIsServedInTurnAndWhoComputesIsNotHeldUp) {
  const auto big = load(budget_, 70 * kMiB);
  big->use(true);
  std::vector<int> order;
  std::mutex mutex;
  std::vector<std::thread> threads;
  // The first in the queue is large, the second would fit at once.
  for (const int megabytes : {80, 25}) {
    threads.emplace_back([&, megabytes] {
      const auto model = load(budget_, static_cast<uint64_t>(megabytes) * kMiB);
      const std::lock_guard lock(mutex);
      order.push_back(megabytes);
    });
    wait_until([&] { return budget_.stats().waiting == static_cast<int64_t>(threads.size()); });
  }
  EXPECT_EQ(budget_.reserve({.bytes = 25 * kMiB}).bytes(), 25 * kMiB);
  EXPECT_TRUE(order.empty());
  big->use(false);
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(order, (std::vector<int>{80, 25}));
}

TEST_F(MemoryBudgetTest, AModelThatIsAlwaysInUseIsDrainedAfterAWhileAndAPinnedOneNever) {
  const auto pinned = load(budget_, 40 * kMiB);
  pinned->pin();
  pinned->use(true);
  const auto hot = load(budget_, 40 * kMiB);
  hot->use(true);
  std::thread other([&] { load(budget_, 40 * kMiB); });
  const auto start = Clock::now();
  wait_until([&] { return hot->was_drained(); });
  EXPECT_GE(Clock::now() - start, MemoryBudget::kPreference - 50ms);
  hot->give_back();  // As it does when its leases have come home.
  other.join();
  EXPECT_FALSE(pinned->was_drained());
  EXPECT_TRUE(pinned->is_there());
  EXPECT_EQ(budget_.stats().drains, 1u);
}

TEST_F(MemoryBudgetTest, CachesAreGivenBackBeforeAnythingIsEvicted) {
  Reservation kept = budget_.reserve({.bytes = 30 * kMiB});
  budget_.add_cache([&kept] { kept.release(); });
  const auto a = load(budget_, 40 * kMiB);
  const auto b = load(budget_, 40 * kMiB);
  EXPECT_EQ(kept.bytes(), 0u);
  EXPECT_TRUE(a->is_there());
}

TEST_F(MemoryBudgetTest, OfSeveralLimitsTheSmallestHoldsAsLongAsItIsThere) {
  {
    const auto lower = budget_.limit_to(50 * kMiB);
    const auto higher = budget_.limit_to(500 * kMiB);
    EXPECT_EQ(budget_.stats().limit, 50 * kMiB);
    EXPECT_THROW(budget_.reserve({.bytes = 60 * kMiB}), OutOfMemory);
  }
  EXPECT_EQ(budget_.reserve({.bytes = 60 * kMiB}).bytes(), 60 * kMiB);
}

TEST_F(MemoryBudgetTest, ALimitBelowWhatIsInUseTakesWhatIsIdleAndLeavesWhatIsNot) {
  const auto a = load(budget_, 30 * kMiB);
  const auto b = load(budget_, 30 * kMiB);
  b->use(true);
  const auto lower = budget_.limit_to(20 * kMiB);
  EXPECT_FALSE(a->is_there());
  EXPECT_TRUE(b->is_there());
  EXPECT_EQ(budget_.left_by_weights(), 0u);
  const MemoryWait wait(Deadline::after(Clock::duration(10ms)));
  EXPECT_THROW(budget_.reserve({.bytes = kMiB}), TimeoutError);
  b->use(false);
  EXPECT_EQ(budget_.reserve({.bytes = kMiB}).bytes(), kMiB);
}

TEST(MemoryBudget, WithoutASettingTheLimitIsWhatTheDeviceHasLessAHeadroom) {
  std::atomic<uint64_t> available = 1000 * kMiB;
  MemoryBudget budget("test", [&available] { return std::optional<uint64_t>(available); });
  Reservation weights = budget.reserve({.bytes = 500 * kMiB, .use = MemoryUse::kWeights, .what = "m"});
  EXPECT_EQ(budget.stats().found, 936 * kMiB) << "64 MiB are left, 1/20 would be less";
  available = 500 * kMiB;  // What was taken is gone from it.
  EXPECT_EQ(budget.left_by_weights(), 436 * kMiB);
  {
    const Reservation workspace = budget.reserve({.bytes = 100 * kMiB});
    available = 400 * kMiB;
    EXPECT_EQ(budget.left_by_weights(), 436 * kMiB) << "workspaces are of it";
    available = 500 * kMiB;
  }
  EXPECT_EQ(budget.attainable(), 1000 * kMiB);
  EXPECT_EQ(budget.stats().limit, 936 * kMiB);
  available = 100 * kMiB;  // Others have taken 400.
  EXPECT_THAT([&] { budget.reserve({.bytes = 600 * kMiB, .use = MemoryUse::kWeights, .what = "n"}); },
              ThrowsMessage<OutOfMemory>(HasSubstr("less a headroom")));
  // Mapped pages are page cache, which counts as available.
  const Reservation mapped = weights.split(400 * kMiB, MemoryUse::kMappedWeights);
  available = 900 * kMiB;
  EXPECT_EQ(budget.attainable(), 1000 * kMiB);
  const auto more_than_there_is = budget.limit_to(uint64_t{1} << 50);
  EXPECT_EQ(budget.stats().limit, 936 * kMiB);
}

TEST(MemoryBudget, OneOfEachDeviceInTheProcess) {
  EXPECT_EQ(&MemoryBudget::cpu(), &MemoryBudget::of("cpu"));
  EXPECT_NE(&MemoryBudget::cpu(), &MemoryBudget::of("cuda:7"));
  EXPECT_GT(MemoryBudget::cpu().left_by_weights(), 0u);
}

TEST(MemoryBudget, EventsReachTheHookAndAHookThatThrowsDoesNoHarm) {
  MemoryBudget budget("test", unknown);
  const auto limit = budget.limit_to(kMiB);
  std::vector<std::string> seen;
  on_memory_event([&seen](const MemoryEvent& event) {
    seen.push_back(std::string(to_string(event.kind)) + " " + event.what + " of " + event.device);
  });
  EXPECT_THROW(budget.reserve({.bytes = 2 * kMiB, .what = "bert"}), OutOfMemory);
  EXPECT_THAT(seen, ::testing::ElementsAre("refused bert of test"));
  log::set_level(log::Level::kOff);
  on_memory_event([](const MemoryEvent&) { throw std::runtime_error("no"); });
  EXPECT_THROW(budget.reserve({.bytes = 2 * kMiB, .what = "bert"}), OutOfMemory);
  on_memory_event(nullptr);
  log::set_level(log::Level::kWarning);
}

// Threads that load, compute and give back: nobody gets what there isn't, nobody is left waiting, and in the end
// nothing is taken.
TEST_F(MemoryBudgetTest, ManyThreadsNeverHaveMoreThanTheLimit) {
  constexpr int kThreads = 8;
  std::atomic<int> refused = 0;
  std::atomic<bool> over = false;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<unsigned>(t));
      for (int i = 0; i < 300; ++i) {
        const MemoryWait wait(Deadline::after(Clock::duration(5s)));
        try {
          const auto model = load(budget_, (1 + random() % 40) * kMiB, 10 * kMiB);
          model->use(true);
          const Reservation workspace = budget_.reserve({.bytes = (1 + random() % 10) * kMiB});
          if (budget_.stats().used > 100 * kMiB) over = true;
          model->use(false);
        } catch (const Error&) {
          ++refused;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_FALSE(over);
  EXPECT_EQ(refused, 0);
  EXPECT_EQ(budget_.stats().used, 0u);
  EXPECT_EQ(budget_.stats().waiting, 0);
  EXPECT_LE(budget_.stats().peak, 100 * kMiB);
}

TEST(GpuMemoryPatienceTest, EndsAWaitWithOutOfMemoryWhateverTheDeadline) {
  MemoryBudget budget("cuda:7", [] { return std::optional<uint64_t>(); });
  const MemoryBudget::Limit limit = budget.limit_to(1000);
  const Reservation taken = budget.reserve({.bytes = 700, .what = "held"});
  const MemoryWait wait(Deadline::after(Deadline::Clock::duration(std::chrono::seconds(20))));
  const auto start = Deadline::Clock::now();
  try {
    const GpuMemoryPatience patience(std::chrono::milliseconds(30));
    budget.reserve({.bytes = 500, .what = "more"});
    FAIL() << "there is no room";
  } catch (const OutOfMemory& error) {
    EXPECT_EQ(error.device(), "cuda:7");
  }
  EXPECT_LT(Deadline::Clock::now() - start, std::chrono::seconds(10));
  {
    const MemoryWait short_wait(Deadline::after(Deadline::Clock::duration(std::chrono::milliseconds(30))));
    EXPECT_THROW(budget.reserve({.bytes = 500, .what = "more"}), TimeoutError);
    const GpuMemoryPatience patience(Deadline::Clock::duration::max());
    EXPECT_THROW(budget.reserve({.bytes = 500, .what = "more"}), OutOfMemory);
  }
}

}  // namespace
}  // namespace remuda
