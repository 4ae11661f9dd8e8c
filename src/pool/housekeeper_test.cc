// When visits are made, and that the thread is there only while somebody needs it.
#include "pool/housekeeper.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

namespace remuda {
namespace {

using std::chrono::milliseconds;
using Clock = Housekeeper::Clock;

struct Visited : Housekept {
  explicit Visited(std::function<Clock::time_point()> then = [] { return Clock::time_point::max(); })
      : next(std::move(then)) {}
  Clock::time_point housekeep() noexcept override {
    last = Clock::now();
    const Clock::time_point when = next();
    ++visits;
    return when;
  }

  std::function<Clock::time_point()> next;
  std::atomic<Clock::time_point> last{};
  std::atomic<int> visits{0};
};

void wait_until(const std::function<bool()>& reached) {
  const auto end = Clock::now() + std::chrono::seconds(30);
  while (!reached()) {
    ASSERT_LT(Clock::now(), end);
    std::this_thread::sleep_for(milliseconds(1));
  }
}

TEST(Housekeeper, VisitsWhenItIsDueAndNotBefore) {
  Housekeeper housekeeper;
  const auto whom = std::make_shared<Visited>();
  const Clock::time_point due = Clock::now() + milliseconds(30);
  housekeeper.visit_at(whom, Clock::now() + std::chrono::hours(1));
  housekeeper.visit_at(whom, due);  // The earlier of the two.
  wait_until([&] { return whom->visits == 1; });
  EXPECT_GE(whom->last.load(), due);
  std::this_thread::sleep_for(milliseconds(20));
  EXPECT_EQ(whom->visits, 1);
  housekeeper.stop();
}

TEST(Housekeeper, VisitsAgainWhenTheVisitAsksForIt) {
  Housekeeper housekeeper;
  const auto whom = std::make_shared<Visited>([] { return Clock::now() + milliseconds(1); });
  housekeeper.visit_at(whom, Clock::now());
  wait_until([&] { return whom->visits >= 3; });
  housekeeper.stop();
}

TEST(Housekeeper, ItsThreadStartsWithTheFirstAndEndsWithTheLastAndStartsAgain) {
  Housekeeper housekeeper;
  EXPECT_FALSE(housekeeper.is_running());
  for (int round = 0; round < 3; ++round) {
    const auto a = std::make_shared<Visited>();
    const auto b = std::make_shared<Visited>();
    housekeeper.visit_at(a, Clock::now());
    housekeeper.visit_at(b, Clock::now() + std::chrono::hours(1));
    EXPECT_TRUE(housekeeper.is_running());
    wait_until([&] { return a->visits == 1; });
    housekeeper.forget(a.get());
    EXPECT_TRUE(housekeeper.is_running());
    housekeeper.forget(b.get());
    wait_until([&] { return !housekeeper.is_running(); });
    EXPECT_EQ(b->visits, 0);
  }
  housekeeper.stop();
}

TEST(Housekeeper, WhatIsGoneIsNotVisited) {
  Housekeeper housekeeper;
  auto whom = std::make_shared<Visited>();
  housekeeper.visit_at(whom, Clock::now() + milliseconds(300));
  whom.reset();  // Before it is due.
  wait_until([&] { return !housekeeper.is_running(); });
  housekeeper.stop();
}

TEST(Housekeeper, ForgettingWaitsForAVisit) {
  Housekeeper housekeeper;
  std::atomic<bool> inside{false};
  auto whom = std::make_shared<Visited>([&] {
    inside = true;
    std::this_thread::sleep_for(milliseconds(20));
    inside = false;
    return Clock::time_point::max();
  });
  housekeeper.visit_at(whom, Clock::now());
  wait_until([&] { return inside.load(); });
  housekeeper.forget(whom.get());
  EXPECT_FALSE(inside);
  EXPECT_EQ(whom.use_count(), 1);
  housekeeper.stop();
}

TEST(Housekeeper, AVisitMayForgetItself) {
  Housekeeper housekeeper;
  std::shared_ptr<Visited> whom;
  whom = std::make_shared<Visited>([&] {
    housekeeper.forget(whom.get());
    return Clock::now();
  });
  housekeeper.visit_at(whom, Clock::now());
  wait_until([&] { return !housekeeper.is_running(); });
  EXPECT_EQ(whom->visits, 1);
  housekeeper.stop();
}

TEST(Housekeeper, HandlesNoSignalOfTheProcess) {
  Housekeeper housekeeper;
  sigset_t blocked;
  sigemptyset(&blocked);
  const auto whom = std::make_shared<Visited>([&] {
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    return Clock::time_point::max();
  });
  housekeeper.visit_at(whom, Clock::now());
  wait_until([&] { return whom->visits == 1; });
  EXPECT_EQ(sigismember(&blocked, SIGINT), 1);
  EXPECT_EQ(sigismember(&blocked, SIGTERM), 1);
  housekeeper.stop();
}

}  // namespace
}  // namespace remuda
