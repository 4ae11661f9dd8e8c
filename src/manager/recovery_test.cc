// Joined calls whose GPU has no memory, fails or is lost while it computes: by a batcher over sessions that compute
// nothing.
#include "manager/recovery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/log_test_support.h"
#include "manager/batcher.h"
#include "remuda/error.h"

namespace remuda {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// So many parts, each to be computed once.
class Work : public BatchRequest {
 public:
  explicit Work(int parts, Deadline deadline = Deadline::never(), std::stop_token stop = {})
      : BatchRequest({.what = "the work", .deadline = deadline, .stop = std::move(stop)}), left_(parts) {}

  bool has_waiting() const override { return left_ > 0; }
  void take() {
    --left_;
    begin_part();
  }
  void return_it() {
    ++left_;
    return_part();
  }

  std::vector<std::string> computed_on;  // By parts.

 private:
  int left_;
};

// Devices, and what happens to those who compute on them.
struct World {
  std::mutex mutex;
  std::function<std::exception_ptr(const std::string& device, int step)> failure;  // Null: none.
  std::string next_device = "cuda:0";
  int steps = 0;
  int opened = 0;
  int discarded = 0;
  std::map<Recovery, int64_t> calls;
};

class FakeSession : public BatchSession {
 public:
  explicit FakeSession(World& world) : world_(world) {
    const std::lock_guard lock(world_.mutex);
    device_ = world_.next_device;
    ++world_.opened;
  }

  void take(RequestQueue& queue, Requests&) override {
    while (const RequestQueue::Pointer front = queue.front()) {
      if (parts_.size() == 4) return;
      static_cast<Work&>(*front).take();
      parts_.push_back(front);
      queue.served();
    }
  }
  void step() noexcept override {
    const std::lock_guard lock(world_.mutex);
    error_ = world_.failure ? world_.failure(device_, world_.steps) : nullptr;
    ++world_.steps;
  }
  void settle(Requests& changed) override {
    for (const auto& part : parts_) {
      static_cast<Work&>(*part).computed_on.push_back(device_);
      part->end_part();
      if (part->is_done()) changed.push_back(part);
    }
    parts_.clear();
  }
  void drop_ended(Requests&) override {}
  bool is_idle() const override { return parts_.empty(); }
  bool works_for(const BatchCaller&) const override { return false; }
  std::exception_ptr place_error() const override { return error_; }
  Requests take_back() override {
    for (const auto& part : parts_) static_cast<Work&>(*part).return_it();
    error_ = nullptr;
    return std::exchange(parts_, {});
  }
  void discard() override {
    const std::lock_guard lock(world_.mutex);
    ++world_.discarded;
  }

 private:
  World& world_;
  std::string device_;
  Requests parts_;
  std::exception_ptr error_;
};

std::exception_ptr no_memory() {
  return std::make_exception_ptr(OutOfMemory("cuda:0: taking 4711 bytes: out of memory", "cuda:0"));
}
std::exception_ptr lost() { return std::make_exception_ptr(DeviceError("cuda:0", true, "cuda:0 is lost")); }

class RecoveryTest : public ::testing::Test {
 protected:
  // A batcher that does this where there is no memory.
  Batcher& batcher(Recovery where_full) {
    batcher_ = std::make_unique<Batcher>(
        BatcherOptions{.name = "test",
                       .open = [this](const SessionTerms&) { return std::make_unique<FakeSession>(world_); },
                       .try_open = [this] { return std::make_unique<FakeSession>(world_); },
                       .pool_waiting = [] { return 0; },
                       .on_overload = [] {},
                       .recovery =
                           [where_full](const std::exception_ptr& error) {
                             try {
                               std::rethrow_exception(error);
                             } catch (const DeviceError& failed) {
                               return failed.is_lost() ? Recovery::kMove : Recovery::kFail;
                             } catch (...) {
                               return where_full;
                             }
                           },
                       .on_recovery =
                           [this](Recovery recovery, int64_t calls, const std::exception_ptr&) {
                             const std::lock_guard lock(world_.mutex);
                             world_.calls[recovery] += calls;
                             if (recovery == Recovery::kMove) world_.next_device = "cpu";
                           }});
    return *batcher_;
  }

  World world_;
  std::unique_ptr<Batcher> batcher_;
};

TEST_F(RecoveryTest, WorkThatAGpuHasNoMemoryForIsDoneElsewhereAndPartsThatWereDoneAreNotDoneAgain) {
  world_.failure = [](const std::string& device, int step) {
    return device == "cuda:0" && step == 1 ? no_memory() : nullptr;
  };
  const auto work = std::make_shared<Work>(6);
  batcher(Recovery::kMove).run(work);
  EXPECT_EQ(work->computed_on, (std::vector<std::string>{"cuda:0", "cuda:0", "cuda:0", "cuda:0", "cpu", "cpu"}));
  EXPECT_EQ(world_.opened, 2);
  EXPECT_EQ(world_.discarded, 1);
  EXPECT_EQ(world_.calls, (std::map<Recovery, int64_t>{{Recovery::kMove, 1}}));
}

TEST_F(RecoveryTest, CallsThatAreJoinedOnALostGpuHearNothingOfIt) {
  for (int round = 0; round < 50; ++round) {
    world_.next_device = "cuda:0";
    world_.steps = 0;
    world_.failure = [](const std::string& device, int step) {
      return device == "cuda:0" && step >= 3 ? lost() : nullptr;
    };
    Batcher& joined = batcher(Recovery::kMove);
    std::atomic<int> parts{0};
    {
      std::vector<std::jthread> callers;
      for (int i = 0; i < 8; ++i) {
        callers.emplace_back([&joined, &parts] {
          for (int call = 0; call < 5; ++call) {
            const auto work = std::make_shared<Work>(3);
            EXPECT_NO_THROW(joined.run(work));
            parts += static_cast<int>(work->computed_on.size());
          }
        });
      }
    }
    EXPECT_EQ(parts, 8 * 5 * 3) << "each part once";
    EXPECT_EQ(world_.next_device, "cpu");
  }
}

TEST_F(RecoveryTest, WhereNothingElseWillDoWorkWaitsForRoomAndCountsOnce) {
  world_.failure = [](const std::string&, int step) { return step < 5 ? no_memory() : nullptr; };
  const auto work = std::make_shared<Work>(2);
  batcher(Recovery::kWait).run(work);
  EXPECT_EQ(work->computed_on, (std::vector<std::string>{"cuda:0", "cuda:0"}));
  EXPECT_EQ(world_.opened, 1) << "the instance stays";
  EXPECT_EQ(world_.discarded, 0);
  EXPECT_EQ(world_.steps, 6);
  EXPECT_EQ(world_.calls, (std::map<Recovery, int64_t>{{Recovery::kWait, 1}}));
}

TEST_F(RecoveryTest, TheWaitEndsAtTheCallersDeadlineWithTheFiguresAndOthersGoOn) {
  std::atomic<bool> has_room{false};
  world_.failure = [&has_room](const std::string&, int) { return has_room ? nullptr : no_memory(); };
  Batcher& joined = batcher(Recovery::kWait);
  std::jthread patient([&joined] { EXPECT_NO_THROW(joined.run(std::make_shared<Work>(1))); });
  const auto start = Deadline::Clock::now();
  const auto hasty = std::make_shared<Work>(1, Deadline::after(Deadline::Clock::duration(milliseconds(200))));
  EXPECT_THAT([&] { joined.run(hasty); },
              ThrowsMessage<OutOfMemory>(
                  AllOf(HasSubstr("the work waited for memory until its deadline"), HasSubstr("4711 bytes"))));
  EXPECT_GE(Deadline::Clock::now() - start, milliseconds(190));
  EXPECT_LT(Deadline::Clock::now() - start, seconds(5));
  has_room = true;
}

TEST_F(RecoveryTest, AStopEndsTheWait) {
  world_.failure = [](const std::string&, int) { return no_memory(); };
  Batcher& joined = batcher(Recovery::kWait);
  std::stop_source stop;
  const auto work = std::make_shared<Work>(1, Deadline::never(), stop.get_token());
  std::jthread stopper([&stop] {
    std::this_thread::sleep_for(milliseconds(100));
    stop.request_stop();
  });
  const auto start = Deadline::Clock::now();
  EXPECT_THROW(joined.run(work), Error);
  EXPECT_LT(Deadline::Clock::now() - start, seconds(5));
}

TEST_F(RecoveryTest, AFailureThatWouldComeAgainIsTheCallersAndTheInstanceGoes) {
  world_.failure = [](const std::string&, int step) {
    return step == 0 ? std::make_exception_ptr(DeviceError("cuda:0", false, "it failed")) : nullptr;
  };
  Batcher& joined = batcher(Recovery::kMove);
  EXPECT_THROW(joined.run(std::make_shared<Work>(1)), DeviceError);
  EXPECT_EQ(world_.discarded, 1);
  EXPECT_NO_THROW(joined.run(std::make_shared<Work>(1)));
}

TEST(Recovery, IsSaidInOneLine) {
  const LoggedLines logged;
  log_recovery({"mine", Recovery::kMove, 3, no_memory()});
  EXPECT_EQ(logged.all(), std::vector<std::string>{"pool mine: the work of 3 calls goes on elsewhere: cuda:0: taking "
                                                   "4711 bytes: out of memory"});
  log_recovery({"mine", Recovery::kMove, 1, lost()});
  log_recovery({"mine", Recovery::kWait, 2, no_memory()});
  EXPECT_EQ(logged.count("pool mine: 2 calls wait for memory"), 1);
  log_recovery({"mine", Recovery::kWait, 0, no_memory()});  // They waited before.
  log_recovery({"mine", Recovery::kFail, 1, lost()});
  EXPECT_EQ(logged.all().size(), 3u);
}

TEST(Recovery, WhoHoldsAnInstanceIsToldThatItCanNotMove) {
  EXPECT_THAT([] { rethrow_to_holder(no_memory()); },
              ThrowsMessage<OutOfMemory>(AllOf(HasSubstr("4711 bytes"), HasSubstr("an instance of its own can't go"))));
  EXPECT_THROW(rethrow_to_holder(lost()), DeviceError);
}

}  // namespace
}  // namespace remuda
