// GPUs that have no memory or are lost in the midst of decoding summaries: with the processor in their place, models
// that really lie on them, and other processes that take their memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/log_test_support.h"
#include "device/gpu_arena.h"
#include "device/memory_budget.h"
#include "manager/gpu_test_support.h"
#include "manager/placement.h"
#include "manager/random_bart.h"
#include "remuda/error.h"
#include "remuda/summarization_model_manager.h"

namespace remuda {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;
using ByDevice = std::map<std::string, int64_t>;

const std::vector<std::string> kTexts = {"The herd waits at dawn.", "one two three four five six"};

// Of few tokens, all of which its tokenizer knows, or of so many that the logits of a step take more memory than a pool
// keeps beside the weights.
constexpr RandomBartShape shape_of(int64_t vocabulary) {
  return {.hidden = 32,
          .encoder_inner = 64,
          .decoder_inner = 96,
          .positions = 70,
          .vocabulary = vocabulary,
          .beams = 2,
          .length = 12};
}

class GpuSummaryPolicy : public TwoGpusTest {
 protected:
  // Of either kind of device, in fp32, where answers are the same.
  Settings automatic(Fallback fallback, int64_t instances = 1) const {
    Settings settings;
    settings.summarization_model = model_.path();
    settings.precision = Precision::kFp32;
    settings.masx_force_cpu = false;
    settings.fallback = fallback;
    settings.model_pool_max_instances = instances;
    return settings;
  }

  std::vector<TokenIds> expected(std::span<const std::string> texts = kTexts) const {
    Settings settings = automatic(Fallback::kPrefer);
    settings.device = "cpu";
    return ids_of(SummarizationModelManager(settings).summarize(texts));
  }

  static std::vector<TokenIds> ids_of(const std::vector<Summary>& summaries) {
    std::vector<TokenIds> ids;
    for (const Summary& summary : summaries) ids.push_back(summary.best.ids);
    return ids;
  }

  // Options of a call in the midst of which this happens, once, on its own thread.
  static SummarizeOptions with_incident(std::function<void()> incident) {
    SummarizeOptions options;
    options.cancelled = [looks = 0, incident = std::move(incident)]() mutable {
      if (++looks == 5) incident();
      return false;
    };
    return options;
  }

  const RandomBart model_{shape_of(30'000)};
};

TEST_F(GpuSummaryPolicy, ACallThatAGpuHasNoMemoryForIsDoneOnTheCpuAndLaterThereAgain) {
  const std::vector<TokenIds> right = expected();
  for (const Fallback fallback : {Fallback::kPrefer, Fallback::kSpill}) {
    others_take_nothing();
    const LoggedLines logged;
    SummarizationModelManager manager(automatic(fallback));
    manager.warm_up();
    EXPECT_EQ(manager.get_pool_stats().by_device, (ByDevice{{"cuda:0", 1}}));
    others_take_all();
    EXPECT_EQ(ids_of(manager.summarize(kTexts)), right);
    const PoolStats stats = manager.get_pool_stats();
    EXPECT_EQ(stats.by_device, (ByDevice{{"cpu", 1}}));
    EXPECT_EQ(stats.moved, 1u);
    EXPECT_EQ(stats.fallbacks, 1u);
    EXPECT_EQ(stats.lost, 0u);
    EXPECT_EQ(logged.count("the work of 1 calls goes on elsewhere: cuda:0: a document of"), 1);
    EXPECT_EQ(taken(), 0u) << "what lay idle is back with the driver";

    others_take_nothing();
    std::this_thread::sleep_for(Placement::kAvoided + milliseconds(200));
    manager.summarize(kTexts);  // When it comes home it is seen that there is room.
    EXPECT_EQ(ids_of(manager.summarize(kTexts)), right);
    EXPECT_EQ(manager.get_pool_stats().by_device, (ByDevice{{"cuda:0", 1}}));
  }
}

TEST_F(GpuSummaryPolicy, WhoRequiresTheGpuWaitsForItsMemory) {
  const LoggedLines logged;
  SummarizationModelManager manager(automatic(Fallback::kRequire));
  manager.warm_up();
  others_take_all();
  std::jthread others([this] {
    std::this_thread::sleep_for(milliseconds(300));
    others_take_nothing();
  });
  EXPECT_EQ(ids_of(manager.summarize(kTexts, {.timeout = seconds(60)})), expected());
  EXPECT_EQ(manager.get_pool_stats().room_waits, 1u);
  EXPECT_EQ(manager.get_pool_stats().moved, 0u);
  EXPECT_EQ(manager.get_pool_stats().created, 1u);
  EXPECT_EQ(logged.count("1 calls wait for memory: cuda:0: a document of"), 1);
}

TEST_F(GpuSummaryPolicy, UntilTheDeadlineAndThenIsToldTheFigures) {
  SummarizationModelManager manager(automatic(Fallback::kRequire));
  manager.warm_up();
  others_take_all();
  EXPECT_THAT([&] { manager.summarize(kTexts, {.timeout = milliseconds(300)}); },
              ThrowsMessage<OutOfMemory>(
                  AllOf(HasSubstr("waited for memory until its deadline"), HasSubstr("cuda:0"), HasSubstr("bytes"))));
  const std::vector<Summary> partial = manager.summarize(kTexts, {.timeout = milliseconds(300), .partial = true});
  EXPECT_FALSE(partial.at(0).best.complete);
  others_take_nothing();
  EXPECT_NO_THROW(manager.summarize(kTexts));
}

// 20 documents of 2 beams want steps of 40 rows where there is memory for 16, which the first one took.
TEST_F(GpuSummaryPolicy, FewerDocumentsAtOnceComeBeforeAnyMove) {
  const std::vector<std::string> texts(20, kTexts[0]);
  SummarizationModelManager manager(automatic(Fallback::kPrefer));
  manager.warm_up();
  std::atomic<bool> taken = false;
  const SummarizeOptions options = with_incident([&] {
    others_take_all();
    taken = true;
  });
  std::jthread one([&] { manager.summarize(std::span(kTexts).first(1), options); });
  while (!taken) std::this_thread::sleep_for(milliseconds(1));
  EXPECT_EQ(ids_of(manager.summarize(texts)), expected(texts));
  EXPECT_EQ(manager.get_pool_stats().moved, 0u);
  EXPECT_EQ(manager.get_pool_stats().by_device, (ByDevice{{"cuda:0", 1}}));
}

TEST_F(GpuSummaryPolicy, ACallWhoseGpuIsLostInItsMidstGoesOnElsewhereAndHearsNothingTwice) {
  const RandomBart tells(shape_of(250));
  for (const bool on_cpu : {true, false}) {
    bring_back();
    on_cpu ? leave_one() : leave_both();
    const LoggedLines logged;
    Settings settings = automatic(Fallback::kPrefer);
    settings.summarization_model = tells.path();
    SummarizationModelManager manager(settings);
    std::vector<std::string> told(kTexts.size());
    SummarizeOptions options;
    options.generation.num_beams = 1;  // Every token is settled as it is chosen.
    int pieces = 0;
    options.on_text = [&](int64_t document, std::string_view text) {
      told[static_cast<size_t>(document)] += text;
      if (++pieces == 5) lose_described(backend_, 0);
    };
    const std::vector<Summary> found = manager.summarize(kTexts, options);
    for (size_t i = 0; i < found.size(); ++i) EXPECT_EQ(told[i], found[i].best.text);
    const PoolStats stats = manager.get_pool_stats();
    EXPECT_EQ(stats.by_device, (ByDevice{{on_cpu ? "cpu" : "cuda:1", 1}}));
    EXPECT_EQ(stats.moved, 1u);
    EXPECT_EQ(stats.lost, 1u);
    EXPECT_EQ(logged.count("cuda:0 is lost to this process"), 1);
    EXPECT_EQ(MemoryBudget::of("cuda:0").stats().models, 0);
    EXPECT_EQ(MemoryBudget::of("cuda:0").stats().used, 0u);
  }
}

TEST_F(GpuSummaryPolicy, OneThatFailsIsLeftForAnotherPlace) {
  const std::vector<TokenIds> right = expected();
  SummarizationModelManager manager(automatic(Fallback::kPrefer));
  manager.warm_up();
  const LoggedLines logged;
  gpus_.gpus[0].fails = true;
  EXPECT_EQ(ids_of(manager.summarize(kTexts)), right);
  EXPECT_EQ(manager.get_pool_stats().by_device, (ByDevice{{"cpu", 1}}));
  EXPECT_EQ(manager.get_pool_stats().moved, 1u);
  EXPECT_EQ(logged.count("the work of 1 calls goes on elsewhere: cuda:0: "), 1);
  gpus_.gpus[0].fails = false;
}

TEST_F(GpuSummaryPolicy, AnInstanceOfOnesOwnCanNotMove) {
  SummarizationModelManager manager(automatic(Fallback::kPrefer));
  {
    const auto lease = manager.acquire();
    others_take_all();
    EXPECT_THAT([&] { manager.summarize(kTexts, *lease); },
                ThrowsMessage<OutOfMemory>(AllOf(HasSubstr("cuda:0: a document of"), HasSubstr("can't go elsewhere"))));
    others_take_nothing();
    EXPECT_NO_THROW(manager.summarize(kTexts, *lease));
    const SummarizeOptions options = with_incident([this] { lose_described(backend_, 0); });
    EXPECT_THAT([&] { manager.summarize(kTexts, *lease, options); },
                ThrowsMessage<DeviceError>(HasSubstr("the GPU is lost")));
  }
  EXPECT_EQ(manager.get_pool_stats().total, 0);
  EXPECT_EQ(manager.get_pool_stats().moved, 0u);
  EXPECT_EQ(manager.get_pool_stats().lost, 1u);
  EXPECT_EQ(manager.acquire()->metadata().device, "cpu");
}

// Threads that summarize.
class Summarizers : public Callers {
 public:
  Summarizers(SummarizationModelManager& manager, const std::vector<TokenIds>& right)
      : Callers(4, [&manager, &right](int thread) {
          const size_t text = static_cast<size_t>(thread) % kTexts.size();
          const std::vector<Summary> found =
              manager.summarize(std::span(kTexts).subspan(text, 1), {.timeout = seconds(120)});
          return found.at(0).best.ids == right[text];
        }) {}
};

TEST_F(GpuSummaryPolicy, NobodyWhoIsJoinedHearsThatAGpuIsLost) {
  const std::vector<TokenIds> right = expected();
  leave_both();
  SummarizationModelManager manager(automatic(Fallback::kRequire, 2));
  Summarizers summarizers(manager, right);
  summarizers.wait_for_more(4);
  lose_described(backend_, 0);
  summarizers.wait_for_more(6);
  summarizers.stop();
  EXPECT_EQ(summarizers.wrong() + summarizers.device_errors(), 0);
  const PoolStats stats = manager.get_pool_stats();
  EXPECT_FALSE(stats.by_device.contains("cuda:0"));
  EXPECT_TRUE(stats.by_device.contains("cuda:1"));
  EXPECT_GE(stats.lost, 1u);
  EXPECT_EQ(MemoryBudget::of("cuda:0").stats().used, 0u);
}

// For 2 s, or REMUDA_CHAOS_SECONDS.
TEST_F(GpuSummaryPolicy, OthersMayTakeAndFreeMemoryAtAnyTime) {
  const std::vector<TokenIds> right = expected();
  const char* const given = std::getenv("REMUDA_CHAOS_SECONDS");
  std::minstd_rand random(7);
  SummarizationModelManager manager(automatic(Fallback::kSpill, 2));
  manager.warm_up();
  others_take_all();  // So that somebody moves, however few calls end within the time.
  {
    Summarizers summarizers(manager, right);
    summarizers.wait_for_more(1);
    const auto end = std::chrono::steady_clock::now() + seconds(given == nullptr ? 2 : std::atoi(given));
    while (std::chrono::steady_clock::now() < end) {
      const uint64_t total = gpus_.gpus[0].memory_total;
      // Often all of it, in between nearly all.
      take_described(backend_, 0, random() % 3 == 0 ? total : total - random() % (16 * kMiB));
      std::this_thread::sleep_for(milliseconds(random() % 20));
      if (random() % 16 != 0) continue;
      others_take_nothing();
      std::this_thread::sleep_for(milliseconds(random() % 1500));
    }
    summarizers.stop();
    EXPECT_EQ(summarizers.wrong() + summarizers.device_errors(), 0);
    std::printf("figure: {\"calls\": %d, \"moved\": %d}\n", summarizers.done(),
                static_cast<int>(manager.get_pool_stats().moved));
  }
  EXPECT_GT(manager.get_pool_stats().moved, 0u);
  EXPECT_TRUE(manager.cleanup(seconds(10)));
  EXPECT_EQ(taken(), 0u);
  const MemoryBudgetStats budget = MemoryBudget::of("cuda:0").stats();
  EXPECT_EQ(budget.weights, 0u);
  EXPECT_EQ(budget.workspaces, 0u) << GpuArena::of("cuda:0").stats().reserved;
}

}  // namespace
}  // namespace remuda
