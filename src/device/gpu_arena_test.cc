#include "device/gpu_arena.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "base/deadline.h"
#include "base/log_test_support.h"
#include "device/gpu_devices.h"
#include "device/testing/test_libraries.h"
#include "remuda/error.h"

namespace remuda {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Property;
using ::testing::Throws;
using ::testing::ThrowsMessage;

constexpr uint64_t kMiB = uint64_t{1} << 20;

// A GPU of 1 GiB, a budget of what it has, and an arena. The budget keeps 64 MiB as headroom.
class GpuArenaTest : public ::testing::Test {
 protected:
  GpuArenaTest() {
    gpus_ = {};
    gpus_.count = 1;
    gpus_.gpus[0] = {.name = "GPU", .major = 9, .minor = 0, .memory_total = 1024 * kMiB};
    arena_.emplace(backend_, 0, budget_);
    stream_.emplace(backend_, 0);
  }

  // What was lost is forgotten with the provider.
  ~GpuArenaTest() override { set_device_provider(set_device_provider(nullptr)); }

  DescribedGpu& gpu() { return gpus_.gpus[0]; }
  // What is counted is what the pool has of the driver, but for what the caller reserved.
  void expect_counted(uint64_t bytes) {
    EXPECT_EQ(budget_.stats().used, bytes);
    EXPECT_EQ(arena_->stats().reserved, bytes);
    EXPECT_EQ(gpu().reserved, bytes);
  }

  const GpuBackend backend_ = open_gpu_backend(test_library("described_backend"));
  DescribedGpus& gpus_ = described_gpus(backend_);
  GpuDevices devices_{backend_};
  MemoryBudget budget_{"cuda:0", [this] {
                         const auto device = devices_.device("cuda:0");
                         return device && device->problem.empty() ? std::optional(device->memory_available)
                                                                  : std::nullopt;
                       }};
  std::optional<GpuArena> arena_;
  std::optional<GpuStream> stream_;
};

TEST_F(GpuArenaTest, ABlockCountsAsItIsAndStaysForTheNext) {
  expect_counted(0);
  {
    const GpuArena::Block block = arena_->allocate(3 * kMiB, *stream_, "test");
    ASSERT_NE(block.data(), nullptr);
    EXPECT_EQ(block.bytes(), 3 * kMiB);
    expect_counted(4 * kMiB);  // In pieces of 2 MiB.
    EXPECT_EQ(arena_->stats().allocated, 3 * kMiB);
  }
  EXPECT_EQ(arena_->stats().allocated, 3 * kMiB) << "the stream has not come so far";
  stream_->synchronize();
  EXPECT_EQ(arena_->stats().allocated, 0u);
  expect_counted(4 * kMiB);
  const GpuArena::Block next = arena_->allocate(4 * kMiB, *stream_, "test");
  expect_counted(4 * kMiB);
  EXPECT_EQ(budget_.stats().peak, 4 * kMiB) << "what lay idle was not counted twice";
}

TEST_F(GpuArenaTest, BlocksHoldWhatIsCopied) {
  std::vector<float> there(1000, 1.5f), back(1000);
  const GpuArena::Block block = arena_->allocate(4000, *stream_, "test");
  stream_->copy_to_device(block.data(), there.data(), 4000);
  stream_->copy_to_host(back.data(), block.data(), 4000);
  stream_->synchronize();
  EXPECT_EQ(back, there);
}

TEST_F(GpuArenaTest, TrimGivesTheDriverWhatIsNotInUse) {
  std::optional<GpuArena::Block> large = arena_->allocate(100 * kMiB, *stream_, "test");
  const GpuArena::Block small = arena_->allocate(1 * kMiB, *stream_, "test");
  large.reset();
  arena_->trim();
  expect_counted(102 * kMiB);  // The stream has not come so far.
  stream_->synchronize();
  arena_->trim();
  expect_counted(2 * kMiB);
}

TEST_F(GpuArenaTest, AFullBudgetTakesWhatLiesIdle) {
  const MemoryBudget::Limit limit = budget_.limit_to(200 * kMiB);
  arena_->allocate(150 * kMiB, *stream_, "test").release();
  stream_->synchronize();
  expect_counted(150 * kMiB);
  // Weights do not come out of the arena's idle memory by themselves.
  const Reservation weights = budget_.reserve({.bytes = 180 * kMiB, .use = MemoryUse::kWeights, .what = "weights"});
  EXPECT_EQ(gpu().reserved, 0u);
  const GpuArena::Block block = arena_->allocate_reserved(180 * kMiB, *stream_);
  EXPECT_EQ(budget_.stats().used, 180 * kMiB) << "what was reserved before is not counted again";
  EXPECT_EQ(budget_.stats().weights, 180 * kMiB);
}

TEST_F(GpuArenaTest, WhatCanNeverFitIsRefusedAtOnce) {
  EXPECT_THAT([&] { arena_->allocate(1000 * kMiB, *stream_, "a large batch"); },
              ThrowsMessage<OutOfMemory>(HasSubstr("a large batch: needs 1048576000 bytes of workspace")));
  expect_counted(0);
}

TEST_F(GpuArenaTest, WhatDoesNotFitNowWaitsForWhatIsGivenBack) {
  const MemoryBudget::Limit limit = budget_.limit_to(200 * kMiB);
  std::optional<GpuArena::Block> held = arena_->allocate(150 * kMiB, *stream_, "held");
  {
    const MemoryWait wait(Deadline::after(Deadline::Clock::duration(std::chrono::milliseconds(20))));
    EXPECT_THROW(arena_->allocate(100 * kMiB, *stream_, "late"), TimeoutError);
  }
  std::jthread gives_back([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    held.reset();
    stream_->synchronize();
  });
  GpuStream other(backend_, 0);
  const GpuArena::Block block = arena_->allocate(100 * kMiB, other, "patient");
  EXPECT_EQ(block.bytes(), 100 * kMiB);
}

TEST_F(GpuArenaTest, WhoHoldsBlocksDoesNotWaitForMore) {
  const MemoryBudget::Limit limit = budget_.limit_to(200 * kMiB);
  const GpuArena::Block held = arena_->allocate(150 * kMiB, *stream_, "held");
  const GpuArena::Block more = arena_->allocate_more(100 * kMiB, *stream_, "more");
  expect_counted(250 * kMiB);
}

TEST_F(GpuArenaTest, MemoryThatOthersTookMeanwhileIsAnErrorAndCountsNothing) {
  arena_->allocate(2 * kMiB, *stream_, "test").release();
  stream_->synchronize();
  gpu().taken_by_others = 1000 * kMiB;  // The budget looked before.
  EXPECT_THAT([&] { arena_->allocate(100 * kMiB, *stream_, "test"); },
              ThrowsMessage<OutOfMemory>(HasSubstr("cuda:0: taking 104857600 bytes: out of memory")));
  expect_counted(0);
  gpu().taken_by_others = 0;
  const GpuArena::Block block = arena_->allocate(100 * kMiB, *stream_, "test");
  expect_counted(100 * kMiB);
}

// An idle model with so much on a GPU.
class IdleModel : public MemoryHolder {
 public:
  IdleModel(const GpuBackend& backend, GpuArena& arena, uint64_t bytes)
      : stream_(std::in_place, backend, 0), block_(arena.allocate(bytes, *stream_, "weights")) {}

  std::optional<Clock::time_point> idle_since() override {
    return block_ ? std::optional(Clock::time_point()) : std::nullopt;
  }
  bool evict() override {
    block_.reset();
    stream_.reset();
    return true;
  }
  std::optional<Clock::time_point> held_since() override { return std::nullopt; }
  void drain(Clock::time_point) override {}

 private:
  std::optional<GpuStream> stream_;
  std::optional<GpuArena::Block> block_;
};

TEST_F(GpuArenaTest, WhereOthersTookMemoryWhatIsIdleGoesAndItIsTriedAgain) {
  const LoggedLines logged;
  std::vector<std::shared_ptr<IdleModel>> idle;
  for (int i = 0; i < 3; ++i) {
    idle.push_back(std::make_shared<IdleModel>(backend_, *arena_, 100 * kMiB));
    budget_.add_holder(idle.back());
  }
  gpu().taken_by_others = 650 * kMiB;  // The budget looked before.
  {
    const GpuArena::Block block = arena_->allocate(150 * kMiB, *stream_, "test");
    EXPECT_EQ(block.bytes(), 150 * kMiB);
    EXPECT_EQ(budget_.stats().retries, 1u) << "as few as it takes";
    EXPECT_EQ(budget_.stats().evictions, 1u);
    EXPECT_EQ(
        logged.count("cuda:0 had not 157286400 bytes left for this process: 1 idle instances were evicted, and now"),
        1);
    EXPECT_THROW(arena_->allocate(500 * kMiB, *stream_, "test"), OutOfMemory);
  }
  EXPECT_EQ(logged.all().size(), 1u) << "what could never fit evicts nothing";
}

TEST_F(GpuArenaTest, WhatEvictingDoesNotHelpSaysWhoseMemoryItIs) {
  const LoggedLines logged;
  const auto idle = std::make_shared<IdleModel>(backend_, *arena_, 50 * kMiB);
  budget_.add_holder(idle);
  gpu().taken_by_others = 950 * kMiB;
  EXPECT_THAT([&] { arena_->allocate_reserved(300 * kMiB, *stream_); },
              ThrowsMessage<OutOfMemory>(HasSubstr("cuda:0: taking 314572800 bytes: out of memory")));
  EXPECT_EQ(logged.count("1 idle instances were evicted, and that was not enough"), 1);
  EXPECT_THAT([&] { arena_->allocate_reserved(300 * kMiB, *stream_); },
              Throws<OutOfMemory>(Property(&OutOfMemory::device, "cuda:0")));
}

TEST_F(GpuArenaTest, TheBudgetSeesWhatOthersTakeAndNotItsOwnTwice) {
  const GpuArena::Block block = arena_->allocate(100 * kMiB, *stream_, "test");
  EXPECT_EQ(budget_.attainable(), 1024 * kMiB);
  gpu().taken_by_others = 500 * kMiB;
  EXPECT_EQ(budget_.attainable(), 524 * kMiB);
}

TEST_F(GpuArenaTest, OfALostGpuEverythingIsAnErrorButToGiveBack) {
  std::optional<GpuArena::Block> block = arena_->allocate(100 * kMiB, *stream_, "test");
  gpu().is_lost = true;
  const auto lost = AllOf(Property(&DeviceError::device, "cuda:0"), Property(&DeviceError::is_lost, true),
                          Property(&Error::code, ErrorCode::kDeviceError));
  EXPECT_THAT([&] { arena_->allocate(1 * kMiB, *stream_, "test"); }, Throws<DeviceError>(lost));
  EXPECT_THAT([&] { arena_->allocate(1 * kMiB, *stream_, "test"); },
              ThrowsMessage<DeviceError>(HasSubstr("the GPU is lost: it fell off the bus")));
  EXPECT_THAT([&] { stream_->synchronize(); }, Throws<DeviceError>(lost));
  EXPECT_THAT([&] { GpuStream another(backend_, 0); }, Throws<DeviceError>(lost));
  EXPECT_THAT([&] { stream_->copy_to_device(nullptr, nullptr, 0); }, Throws<DeviceError>(lost));
  EXPECT_THAT([&] { GpuArena another(backend_, 0, budget_); }, Throws<DeviceError>(lost));
  arena_->trim();
  EXPECT_EQ(arena_->stats().reserved, 100 * kMiB);
  block.reset();
  arena_.reset();
  EXPECT_EQ(budget_.stats().used, 0u);
}

TEST_F(GpuArenaTest, BlocksMoveAndOutliveTheArena) {
  GpuArena::Block first = arena_->allocate(2 * kMiB, *stream_, "test");
  GpuArena::Block second = std::move(first);
  second = arena_->allocate(4 * kMiB, *stream_, "test");
  stream_->synchronize();
  EXPECT_EQ(arena_->stats().allocated, 4 * kMiB);
  arena_.reset();
  EXPECT_EQ(gpu().reserved, 6 * kMiB);
  second.release();
  second.release();
  stream_->synchronize();
  EXPECT_EQ(gpu().reserved, 0u);
  EXPECT_EQ(budget_.stats().used, 0u);
}

TEST_F(GpuArenaTest, ManyThreadsLeaveNothingCounted) {
  const MemoryBudget::Limit limit = budget_.limit_to(20 * kMiB);
  {
    std::vector<std::jthread> threads;
    for (unsigned seed = 0; seed < 4; ++seed) {
      threads.emplace_back([this, seed] {
        std::minstd_rand random(seed + 1);
        GpuStream stream(backend_, 0);
        for (int i = 0; i < 200; ++i) {
          const GpuArena::Block block = arena_->allocate((1 + random() % 100) * (kMiB / 16), stream, "a batch");
          if (i % 3 == 0) stream.synchronize();
          if (i % 50 == 0) arena_->trim();
        }
      });
    }
  }
  EXPECT_EQ(arena_->stats().allocated, 0u);
  arena_->trim();
  expect_counted(0);
  EXPECT_LE(budget_.stats().peak, 1024 * kMiB);
}

}  // namespace
}  // namespace remuda
