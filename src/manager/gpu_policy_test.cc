// GPUs that have no memory or are lost in the midst of computing: with the processor in their place, models that really
// lie on them, and other processes that take their memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/log_test_support.h"
#include "device/gpu_arena.h"
#include "device/memory_budget.h"
#include "manager/gpu_test_support.h"
#include "manager/placement.h"
#include "manager/random_encoder.h"
#include "remuda/embedding_model_manager.h"
#include "remuda/error.h"
#include "remuda/snapshot.h"

namespace remuda {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;
using ::testing::ThrowsMessage;
using ByDevice = std::map<std::string, int64_t>;

constexpr const char* kText = "one two three one two three a horse";

// What this takes to compute with, on a model as wide as that, is more than a pool keeps beside its weights.
std::string long_text() {
  std::string text = "a horse";
  for (int i = 0; i < 18; ++i) text += " one two";
  return text;
}

class GpuPolicy : public TwoGpusTest {
 protected:
  Settings wide(Settings settings) const {
    settings.embedding_model = wide_model_.path();
    return settings;
  }

  // Of either kind of device, in fp32, where answers can be compared.
  Settings automatic(Fallback fallback, int64_t instances = 1) const {
    Settings settings;
    settings.embedding_model = model_.path();
    settings.precision = Precision::kFp32;
    settings.masx_force_cpu = false;
    settings.fallback = fallback;
    settings.model_pool_max_instances = instances;
    return settings;
  }

  std::vector<float> expected() const { return on_cpu(automatic(Fallback::kPrefer), kText); }
  std::vector<float> expected_of_wide() const { return on_cpu(wide(automatic(Fallback::kPrefer)), long_); }
  static std::vector<float> on_cpu(Settings settings, const std::string& text) {
    settings.device = "cpu";
    return EmbeddingModelManager(settings).embed_text(text);
  }

  const RandomEncoder model_{{.layers = 2, .hidden = 64, .inner = 128}};
  const RandomEncoder wide_model_{{.layers = 1, .hidden = 64, .inner = 8192}};
  const std::string long_ = long_text();
};

TEST_F(GpuPolicy, ACallThatAGpuHasNoMemoryForIsComputedOnTheCpuAndLaterThereAgain) {
  const std::vector<float> right = expected_of_wide();
  for (const Fallback fallback : {Fallback::kPrefer, Fallback::kSpill}) {
    others_take_nothing();
    const LoggedLines logged;
    EmbeddingModelManager manager(wide(automatic(fallback)));
    manager.warm_up();
    EXPECT_EQ(manager.get_pool_stats().by_device, (ByDevice{{"cuda:0", 1}}));
    others_take_all();
    EXPECT_THAT(manager.embed_text(long_), Pointwise(FloatNear(1e-4f), right));
    const PoolStats stats = manager.get_pool_stats();
    EXPECT_EQ(stats.by_device, (ByDevice{{"cpu", 1}}));
    EXPECT_EQ(stats.moved, 1u);
    EXPECT_EQ(stats.fallbacks, 1u);
    EXPECT_EQ(stats.lost, 0u);
    EXPECT_EQ(logged.count("the work of 1 calls goes on elsewhere: cuda:0: taking"), 1);
    EXPECT_EQ(taken(), 0u) << "what lay idle is back with the driver";

    others_take_nothing();
    std::this_thread::sleep_for(Placement::kAvoided + milliseconds(200));
    manager.embed_text(long_);  // When it comes home it is seen that there is room.
    EXPECT_THAT(manager.embed_text(long_), Pointwise(FloatNear(1e-4f), right));
    EXPECT_EQ(manager.get_pool_stats().by_device, (ByDevice{{"cuda:0", 1}}));
    EXPECT_EQ(logged.all().size(), 2u) << "moved, and that it is the CPU";
  }
}

TEST_F(GpuPolicy, LessAtOnceComesBeforeAnyMove) {
  const std::vector<std::string> texts(8, long_);
  EmbeddingModelManager manager(wide(automatic(Fallback::kPrefer)));
  manager.warm_up();
  take_described(backend_, 0, gpus_.gpus[0].memory_total - taken() - 8 * kMiB);
  const std::vector<float> right = expected_of_wide();
  for (const bool joined : {true, false}) {
    const Embeddings found = joined ? manager.embed_texts(texts) : manager.embed_texts(texts, *manager.acquire());
    for (int64_t i = 0; i < found.size(); ++i) EXPECT_THAT(found.row(i), Pointwise(FloatNear(1e-4f), right));
  }
  EXPECT_GT(MemoryBudget::of("cuda:0").stats().refusals, 0u) << "there was room for all";
  EXPECT_EQ(manager.get_pool_stats().moved, 0u);
  EXPECT_EQ(manager.get_pool_stats().by_device, (ByDevice{{"cuda:0", 1}}));
}

TEST_F(GpuPolicy, AnotherGpuWithRoomComesBeforeTheCpu) {
  leave_both();
  EmbeddingModelManager manager(wide(automatic(Fallback::kPrefer)));
  manager.warm_up();
  others_take_all();
  manager.embed_text(long_);
  EXPECT_EQ(manager.get_pool_stats().by_device, (ByDevice{{"cuda:1", 1}}));
  EXPECT_EQ(manager.get_pool_stats().moved, 1u);
  EXPECT_EQ(manager.get_pool_stats().fallbacks, 0u);
}

TEST_F(GpuPolicy, WhoRequiresTheGpuWaitsForItsMemory) {
  const std::vector<float> right = expected_of_wide();
  const LoggedLines logged;
  EmbeddingModelManager manager(wide(automatic(Fallback::kRequire)));
  manager.warm_up();
  others_take_all();
  std::jthread others([this] {
    std::this_thread::sleep_for(milliseconds(300));
    others_take_nothing();
  });
  EXPECT_THAT(manager.embed_text(long_, {.timeout = seconds(20)}), Pointwise(FloatNear(1e-4f), right));
  EXPECT_EQ(manager.get_pool_stats().room_waits, 1u);
  EXPECT_EQ(manager.get_pool_stats().moved, 0u);
  EXPECT_EQ(manager.get_pool_stats().created, 1u);
  EXPECT_EQ(logged.count("1 calls wait for memory: cuda:0: taking"), 1);
  EXPECT_EQ(logged.all().size(), 1u);
}

TEST_F(GpuPolicy, UntilTheDeadlineAndThenIsToldTheFigures) {
  EmbeddingModelManager manager(wide(automatic(Fallback::kRequire)));
  manager.warm_up();
  others_take_all();
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THAT([&] { manager.embed_text(long_, {.timeout = milliseconds(300)}); },
              ThrowsMessage<OutOfMemory>(
                  AllOf(HasSubstr("waited for memory until its deadline"), HasSubstr("cuda:0"), HasSubstr("bytes"))));
  EXPECT_GE(std::chrono::steady_clock::now() - start, milliseconds(290));
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(8));
  others_take_nothing();
  EXPECT_NO_THROW(manager.embed_text(long_));
}

TEST_F(GpuPolicy, AnInstanceOfOnesOwnCanNotMoveAndGoesOnWhenThereIsRoom) {
  EmbeddingModelManager manager(wide(automatic(Fallback::kPrefer)));
  const auto lease = manager.acquire();
  others_take_all();
  EXPECT_THAT([&] { manager.embed_text(long_, *lease); },
              ThrowsMessage<OutOfMemory>(AllOf(HasSubstr("cuda:0: taking"), HasSubstr("can't go elsewhere"))));
  EXPECT_EQ(manager.get_pool_stats().moved, 0u);
  others_take_nothing();
  EXPECT_NO_THROW(manager.embed_text(long_, *lease));
}

TEST_F(GpuPolicy, IdleInstancesOfOthersGoBeforeAnybodyMoves) {
  const RandomEncoder other_model({.layers = 2, .hidden = 64, .inner = 8192});
  Settings settings = automatic(Fallback::kPrefer);
  settings.embedding_model = other_model.path();
  EmbeddingModelManager other(settings);
  other.warm_up();
  EmbeddingModelManager manager(wide(automatic(Fallback::kPrefer)));
  manager.warm_up();
  std::this_thread::sleep_for(milliseconds(100));  // What was used just now isn't evicted.
  const LoggedLines logged;
  others_take_all();
  const auto lease = manager.acquire();
  EXPECT_NO_THROW(manager.embed_text(long_, *lease));
  EXPECT_EQ(other.get_pool_stats().evicted, 1u);
  EXPECT_EQ(logged.count("idle instances were evicted, and now it has"), 1);
}

// Threads that embed.
class Embedders : public Callers {
 public:
  Embedders(EmbeddingModelManager& manager, const std::vector<float>& right, const std::string& text = kText,
            int threads = 8)
      : Callers(threads, [&manager, &right, text](int) {
          const std::vector<float> found = manager.embed_text(text, {.timeout = seconds(60)});
          return std::ranges::equal(found, right, [](float a, float b) { return std::abs(a - b) <= 1e-4f; });
        }) {}
};

TEST_F(GpuPolicy, NobodyWhoIsJoinedHearsThatAGpuIsLost) {
  const std::vector<float> right = expected();
  for (const Fallback fallback : {Fallback::kPrefer, Fallback::kRequire}) {
    bring_back();
    leave_both();
    const LoggedLines logged;
    EmbeddingModelManager manager(automatic(fallback, 3));
    Embedders embedders(manager, right);
    embedders.wait_for_more(8);
    lose_described(backend_, 0);
    embedders.wait_for_more(10);
    embedders.stop();
    EXPECT_EQ(embedders.wrong(), 0);
    EXPECT_EQ(embedders.device_errors(), 0);
    const PoolStats stats = manager.get_pool_stats();
    EXPECT_FALSE(stats.by_device.contains("cuda:0"));
    EXPECT_TRUE(stats.by_device.contains("cuda:1"));
    EXPECT_GE(stats.lost, 1u);
    EXPECT_EQ(logged.count("cuda:0 is lost to this process"), 1);
    EXPECT_EQ(MemoryBudget::of("cuda:0").stats().models, 0) << "its weights are gone";
    EXPECT_EQ(MemoryBudget::of("cuda:0").stats().used, 0u);
  }
}

TEST_F(GpuPolicy, WhereTheLostGpuIsDemandedEverybodyIsToldWhy) {
  const std::vector<float> right = expected();
  Settings settings = automatic(Fallback::kPrefer, 2);
  settings.device = "cuda:0";
  EmbeddingModelManager manager(settings);
  Embedders embedders(manager, right);
  embedders.wait_for_more(10);
  lose_described(backend_, 0);
  while (embedders.device_errors() < 8) std::this_thread::sleep_for(milliseconds(1));
  embedders.stop();
  EXPECT_EQ(embedders.wrong(), 0);
  EXPECT_THAT([&] { manager.embed_text(kText); },
              ThrowsMessage<DeviceError>(
                  AllOf(HasSubstr("cuda:0 can't be used: it fell off the bus"), HasSubstr("(device cuda:0)"))));
}

TEST_F(GpuPolicy, OneThatFailsWhileAModelIsLoadedIsLeftForAnotherPlace) {
  const std::vector<float> right = expected();
  gpus_.gpus[0].fails = true;
  for (const Fallback fallback : {Fallback::kPrefer, Fallback::kSpill}) {
    const LoggedLines logged;
    EmbeddingModelManager manager(automatic(fallback));
    EXPECT_THAT(manager.embed_text(kText), Pointwise(FloatNear(1e-4f), right));
    EXPECT_THAT(manager.embed_text(kText), Pointwise(FloatNear(1e-4f), right));
    EXPECT_EQ(manager.get_pool_stats().by_device, (ByDevice{{"cpu", 1}}));
    EXPECT_EQ(manager.get_pool_stats().fallbacks, 1u);
    EXPECT_EQ(logged.count("cuda:0 is not tried for a while: cuda:0: "), 1) << "one line says where and why";
    EXPECT_EQ(logged.all().size(), 1u);
  }
  leave_both();
  EmbeddingModelManager manager(automatic(Fallback::kPrefer));
  EXPECT_THAT(manager.embed_text(kText), Pointwise(FloatNear(1e-4f), right));
  EXPECT_EQ(manager.get_pool_stats().by_device, (ByDevice{{"cuda:1", 1}}));
}

TEST_F(GpuPolicy, OneThatFailsWhileItComputesIsLeftForAnotherPlace) {
  const std::vector<float> right = expected();
  const LoggedLines logged;
  EmbeddingModelManager manager(automatic(Fallback::kPrefer, 2));
  manager.warm_up();
  EXPECT_EQ(manager.get_pool_stats().by_device, (ByDevice{{"cuda:0", 1}}));
  gpus_.gpus[0].fails = true;
  EXPECT_THAT(manager.embed_text(kText), Pointwise(FloatNear(1e-4f), right));
  EXPECT_EQ(manager.get_pool_stats().by_device, (ByDevice{{"cpu", 1}}));
  EXPECT_EQ(manager.get_pool_stats().moved, 1u);
  EXPECT_EQ(logged.count("the work of 1 calls goes on elsewhere: cuda:0: "), 1);
  gpus_.gpus[0].fails = false;
}

TEST_F(GpuPolicy, WhoHoldsAnInstanceOnOneThatFailsGetsAnotherElsewhere) {
  EmbeddingModelManager manager(automatic(Fallback::kPrefer));
  {
    const auto lease = manager.acquire();
    gpus_.gpus[0].fails = true;
    EXPECT_THAT([&] { manager.embed_text(kText, *lease); }, ThrowsMessage<DeviceError>(HasSubstr("it stumbled")));
  }
  const auto lease = manager.acquire();
  EXPECT_EQ(lease->metadata().device, "cpu");
  EXPECT_THAT(manager.embed_text(kText, *lease), Pointwise(FloatNear(1e-4f), expected()));
  gpus_.gpus[0].fails = false;
}

TEST_F(GpuPolicy, WhereTheOneThatFailsIsDemandedTheFailureIsTheCallers) {
  gpus_.gpus[0].fails = true;
  Settings demanded = automatic(Fallback::kPrefer);
  demanded.device = "cuda:0";
  for (const Settings& settings : {demanded, automatic(Fallback::kRequire)}) {
    EmbeddingModelManager manager(settings);
    EXPECT_THAT([&] { manager.embed_text(kText); }, ThrowsMessage<DeviceError>(HasSubstr("it stumbled")));
    gpus_.gpus[0].fails = false;
    EXPECT_NO_THROW(manager.embed_text(kText)) << "it is tried again at once";
    gpus_.gpus[0].fails = true;
    EXPECT_THAT([&] { manager.embed_text(kText); }, ThrowsMessage<DeviceError>(HasSubstr("it stumbled")));
  }
}

TEST_F(GpuPolicy, AnInstanceOfOnesOwnOnALostGpuIsAnErrorAndIsNotPooledAgain) {
  EmbeddingModelManager manager(automatic(Fallback::kPrefer));
  {
    const auto lease = manager.acquire();
    lose_described(backend_, 0);
    EXPECT_THAT([&] { manager.embed_text(kText, *lease); }, ThrowsMessage<DeviceError>(HasSubstr("the GPU is lost")));
  }
  EXPECT_EQ(manager.get_pool_stats().total, 0);
  EXPECT_EQ(manager.get_pool_stats().lost, 1u);
  EXPECT_EQ(manager.acquire()->metadata().device, "cpu");
}

TEST_F(GpuPolicy, CallsOfOtherDevicesAreNotDisturbed) {
  const std::vector<float> right = expected();
  leave_both();
  Settings settings = automatic(Fallback::kRequire, 2);
  settings.device = "cuda:1";
  EmbeddingModelManager elsewhere(settings);
  EmbeddingModelManager manager(automatic(Fallback::kPrefer));
  Embedders embedders(elsewhere, right);
  manager.embed_text(kText);
  embedders.wait_for_more(5);
  lose_described(backend_, 0);
  manager.embed_text(kText);
  embedders.wait_for_more(10);
  embedders.stop();
  EXPECT_EQ(embedders.wrong() + embedders.device_errors(), 0);
  EXPECT_EQ(elsewhere.get_pool_stats().destroyed, 0u);
}

// For 3 s, or REMUDA_CHAOS_SECONDS.
TEST_F(GpuPolicy, OthersMayTakeAndFreeMemoryAtAnyTime) {
  const std::vector<float> right = expected_of_wide();
  const char* const given = std::getenv("REMUDA_CHAOS_SECONDS");
  std::minstd_rand random(7);
  EmbeddingModelManager prefers(wide(automatic(Fallback::kPrefer, 2)));
  EmbeddingModelManager spills(wide(automatic(Fallback::kSpill, 2)));
  prefers.warm_up();
  spills.warm_up();
  others_take_all();  // So that somebody moves, however few calls end within the time.
  {
    Embedders first(prefers, right, long_, 4), second(spills, right, long_, 4);
    first.wait_for_more(1);
    second.wait_for_more(1);
    const auto end = std::chrono::steady_clock::now() + seconds(given == nullptr ? 3 : std::atoi(given));
    while (std::chrono::steady_clock::now() < end) {
      const uint64_t total = gpus_.gpus[0].memory_total;
      // Often all of it, in between nearly all.
      take_described(backend_, 0, random() % 3 == 0 ? total : total - random() % (12 * kMiB));
      std::this_thread::sleep_for(milliseconds(random() % 20));
      if (random() % 16 != 0) continue;
      others_take_nothing();
      std::this_thread::sleep_for(milliseconds(random() % 1500));
    }
    first.stop();
    second.stop();
    EXPECT_EQ(first.wrong() + second.wrong() + first.device_errors() + second.device_errors(), 0);
    EXPECT_GT(first.done() + second.done(), 8);
    std::printf("figure: {\"calls\": %d, \"moved\": %d}\n", first.done() + second.done(),
                static_cast<int>(prefers.get_pool_stats().moved + spills.get_pool_stats().moved));
  }
  EXPECT_EQ(prefers.get_pool_stats().room_waits, 0u);
  EXPECT_GT(prefers.get_pool_stats().moved + spills.get_pool_stats().moved, 0u);
  EXPECT_TRUE(prefers.cleanup(seconds(10)));
  EXPECT_TRUE(spills.cleanup(seconds(10)));
  EXPECT_EQ(taken(), 0u);
  const MemoryBudgetStats budget = MemoryBudget::of("cuda:0").stats();
  EXPECT_EQ(budget.weights, 0u);
  EXPECT_EQ(budget.workspaces, 0u) << GpuArena::of("cuda:0").stats().reserved;
}

}  // namespace
}  // namespace remuda
