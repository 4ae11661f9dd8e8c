// What managers do when memory is limited: who is refused, who waits, who has to go, and what the process has resident.
//
// Short by default. With REMUDA_TEST_SECONDS=60 the models that are used at random have 60 to 200 MB and a limit of
// 300; with REMUDA_TEST_CYCLES=1000 a model is loaded as often; REMUDA_TEST_BART names the model of which many managers
// are made. bench/budget.py does all of that.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <random>
#include <set>
#include <thread>

#include "base/resident_test_support.h"
#include "base/sanitizer_test_support.h"
#include "device/memory_budget.h"
#include "hub/resolve.h"
#include "manager/random_encoder.h"
#include "remuda/embedding_model_manager.h"
#include "remuda/error.h"
#include "remuda/snapshot.h"
#include "remuda/summarization_model_manager.h"

namespace remuda {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;
using Clock = std::chrono::steady_clock;

constexpr const char* kText = "The herd at dawn.";

// What device/memory_budget.h says isn't counted, for a process that embeds.
[[maybe_unused]] constexpr uint64_t kUncounted =  // Unused with a sanitizer, which takes memory itself.
    uint64_t{40} << 20;

int64_t from_environment(const char* name, int64_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::stoll(value);
}

MemoryBudgetStats stats_now() { return MemoryBudget::cpu().stats(); }

Settings limited(Settings settings, uint64_t bytes) {
  settings.memory_limit = MemoryLimit{.bytes = bytes, .share = std::nullopt};
  return settings;
}

uint64_t weights_of(const RandomEncoder& model) {
  return estimate_memory(inspect_embedding_model(model.path()), Precision::kFp32).shared_weights;
}

uint64_t workspace_of(const RandomEncoder& model) {
  return estimate_memory(inspect_embedding_model(model.path()), Precision::kFp32).workspace;
}

// Room for one of them, and not for two.
class TwoModels : public ::testing::Test {
 protected:
  const RandomEncoder first_{{.layers = 4, .hidden = 128, .inner = 512}};
  const RandomEncoder second_{{.layers = 5, .hidden = 128, .inner = 512}};
  const uint64_t limit_ = weights_of(second_) * 3 / 2 + workspace_of(second_);
  EmbeddingModelManager a_{limited(first_.settings(), limit_)};
  EmbeddingModelManager b_{second_.settings()};
};

TEST_F(TwoModels, AnIdleOneMakesRoomForTheOther) {
  const uint64_t before = stats_now().evictions;
  for (int round = 0; round < 3; ++round) {
    a_.embed_text(kText);
    EXPECT_EQ(b_.get_pool_stats().total, 0);
    b_.embed_text(kText);
    EXPECT_EQ(a_.get_pool_stats().total, 0);
    EXPECT_EQ(stats_now().models, 1);
  }
  EXPECT_EQ(stats_now().evictions - before, 5u);
}

TEST_F(TwoModels, TheAnswersAreThoseThatThereAreWithoutALimit) {
  const std::vector<float> wanted = a_.embed_text(kText);
  b_.embed_text(kText);
  EXPECT_EQ(a_.embed_text(kText), wanted);
}

TEST_F(TwoModels, WhatIsOnLeaseStays) {
  auto lease = a_.acquire();
  EXPECT_THAT([&] { b_.acquire({.timeout = 100ms}); }, ThrowsMessage<TimeoutError>(HasSubstr("in use")));
  EXPECT_FALSE(a_.embed_text(kText, *lease).empty());
  std::thread other([&] { b_.embed_text(kText); });
  lease.release();
  other.join();
  EXPECT_EQ(a_.get_pool_stats().total, 0);
}

TEST_F(TwoModels, ACallWaitsForAWorkspaceUntilOthersAreDone) {
  a_.warm_up();
  std::optional<Reservation> others;
  // All but weights: workspaces that lie ready go.
  others.emplace(MemoryBudget::cpu().reserve({.bytes = limit_ - stats_now().weights, .what = "others"}));
  std::jthread done([&] {
    std::this_thread::sleep_for(600ms);
    others.reset();
  });
  const auto start = Clock::now();
  EXPECT_NO_THROW(a_.embed_text(kText));
  EXPECT_GE(Clock::now() - start, 500ms);
}

TEST_F(TwoModels, OneInSteadyUseMakesRoomInItsTurn) {
  std::atomic<bool> stop = false;
  std::vector<std::thread> users;
  for (int i = 0; i < 4; ++i) {
    users.emplace_back([&] {
      while (!stop) a_.embed_text(kText);
    });
  }
  while (a_.get_pool_stats().acquires < 8) std::this_thread::yield();
  const auto start = Clock::now();
  for (int round = 0; round < 2; ++round) b_.embed_text(kText);
  EXPECT_LT(Clock::now() - start, 10s);
  stop = true;
  for (auto& user : users) user.join();
  EXPECT_GT(a_.get_pool_stats().acquires, 8u);
}

TEST_F(TwoModels, APinnedOneStays) {
  Settings settings = first_.settings();
  settings.pinned = true;
  EmbeddingModelManager pinned(settings);
  pinned.warm_up();
  EXPECT_THROW(b_.acquire({.timeout = 300ms}), TimeoutError);
  EXPECT_EQ(pinned.get_pool_stats().available, 1);
  EXPECT_TRUE(snapshot().weights.at(0).pinned);
}

TEST_F(TwoModels, OneThatCanNeverFitIsRefusedBeforeItIsLoaded) {
  const EmbeddingModelManager lower(limited(first_.settings(), weights_of(second_)));
  const uint64_t loads = stats_now().loads;
  EXPECT_THAT([&] { b_.acquire(); },
              ThrowsMessage<OutOfMemory>(AllOf(HasSubstr("bytes of weights"), HasSubstr("smaller precision"))));
  EXPECT_EQ(stats_now().loads, loads);
}

TEST_F(TwoModels, OfTwoManagersLimitsTheSmallerHoldsAsLongAsItsManagerIsThere) {
  {
    const EmbeddingModelManager lower(limited(first_.settings(), limit_ / 2));
    EXPECT_EQ(stats_now().limit, limit_ / 2);
    EXPECT_EQ(stats_now().configured, limit_ / 2);
  }
  EXPECT_EQ(stats_now().limit, limit_);
}

TEST_F(TwoModels, ALimitThatIsLoweredBelowWhatIsInUseLeavesWhatIsOnLease) {
  auto lease = a_.acquire();
  const std::vector<float> wanted = a_.embed_text(kText, *lease);
  {
    const EmbeddingModelManager lower(limited(first_.settings(), weights_of(first_) / 2));
    EXPECT_GT(stats_now().used, stats_now().limit);
    EXPECT_THAT([&] { b_.acquire({.timeout = 100ms}); }, ThrowsMessage<OutOfMemory>(HasSubstr("memory limit")));
    EXPECT_EQ(a_.get_pool_stats().in_use, 1);
  }
  EXPECT_EQ(a_.embed_text(kText, *lease), wanted);
}

TEST(MemoryLimit, OneBeyondTheMachineIsTheMachines) {
  const RandomEncoder model({.layers = 1});
  EmbeddingModelManager manager(limited(model.settings(), uint64_t{1} << 60));
  EXPECT_EQ(manager.embed_text(kText).size(), 64u);
  EXPECT_EQ(stats_now().limit, stats_now().found);
  EXPECT_LT(stats_now().limit, uint64_t{1} << 60);
}

TEST_F(TwoModels, ASnapshotShowsWhoHasTheMemoryAndEventsHowItCameAbout) {
  std::vector<std::string> events;
  on_memory_event([&events](const MemoryEvent& event) { events.push_back(std::string(to_string(event.kind))); });
  const std::shared_ptr<void> listening(nullptr, [](void*) { on_memory_event(nullptr); });  // Where it fails, too.
  a_.embed_text(kText);
  const ProcessSnapshot before = snapshot();
  ASSERT_EQ(before.weights.size(), 1u);
  EXPECT_EQ(before.weights[0].what, first_.path() + " in fp32");
  EXPECT_EQ(before.weights[0].bytes, a_.acquire()->metadata().shared_bytes);
  EXPECT_EQ(before.weights[0].pools, 1);
  ASSERT_EQ(before.pools.size(), 2u);
  EXPECT_EQ(before.pools[0].total, 1);
  EXPECT_EQ(before.pools[1].total, 0);
  // Other tests of the process may have described GPUs, whose budgets stay.
  const auto budget = std::ranges::find(before.budgets, "cpu", &MemoryBudgetStats::device);
  ASSERT_NE(budget, before.budgets.end());
  EXPECT_EQ(budget->used, before.weights[0].bytes + budget->workspaces);
  EXPECT_GT(budget->workspaces, 0u);
  ASSERT_FALSE(before.devices.empty());
  b_.embed_text(kText);
  EXPECT_EQ(snapshot().weights.at(0).what, second_.path() + " in fp32");
  on_memory_event(nullptr);
  EXPECT_THAT(events, ::testing::ElementsAre("loaded", "unloaded", "evicted", "loaded"));
}

// The pool has as many instances as can compute at once, and says why a caller has to wait for one of them.
TEST(MemoryLimit, APoolIsAsLargeAsItsInstancesHaveRoomToCompute) {
  const RandomEncoder model({.layers = 2, .hidden = 128, .inner = 512});
  Settings settings = model.settings();
  settings.model_pool_max_instances = 8;
  EmbeddingModelManager manager(settings);
  {
    const auto limit = MemoryBudget::cpu().limit_to(weights_of(model) * 11 / 10 + 5 * workspace_of(model) / 2);
    const auto one = manager.acquire();
    const auto two = manager.acquire();
    EXPECT_THAT([&] { manager.acquire({.timeout = 50ms}); },
                ThrowsMessage<TimeoutError>(HasSubstr("at most 2 instances")));
    EXPECT_EQ(manager.get_pool_stats().total, 2);
  }
  const auto one = manager.acquire();
  const auto two = manager.acquire();
  EXPECT_EQ(manager.acquire()->metadata().model_type, "embedding") << "there is more room now";
}

// Runs `load_and_cleanup` many times and holds what is resident at the end against what was after ten. Of the whole
// process: what the C library keeps of freed memory, in the heap of whichever thread, counts.
void expect_flat_rss(const std::function<void()>& load_and_cleanup) {
  const int64_t cycles = from_environment("REMUDA_TEST_CYCLES", 50);
  uint64_t tenth = 0;
  for (int64_t i = 1; i <= cycles; ++i) {
    load_and_cleanup();
    if (i == 10) tenth = status_bytes("VmRSS");
  }
  const uint64_t last = status_bytes("VmRSS");
  fmt::print("figure: {{\"cycles\": {}, \"rss_after_10\": {}, \"rss_at_the_end\": {}}}\n", cycles, tenth, last);
#ifndef REMUDA_SANITIZED
  EXPECT_LE(static_cast<double>(last), 1.02 * static_cast<double>(tenth));
#endif
  EXPECT_EQ(stats_now().weights, 0u);
  EXPECT_EQ(stats_now().mapped_weights, 0u);
}

TEST(MemoryLimit, RssIsFlatOverLoadsAndCleanups) {
  EmbeddingModelManager manager(Settings{});
  expect_flat_rss([&manager] {
    manager.embed_text(kText);
    EXPECT_TRUE(manager.cleanup());
  });
}

TEST(MemoryLimit, RssIsFlatOverLoadsAndCleanupsOfASummarizer) {
  SummarizationModelManager manager(Settings{});
  expect_flat_rss([&manager] {
    manager.summarize_text(kText, {.generation = {.num_beams = 2, .max_length = 8}});
    EXPECT_TRUE(manager.cleanup());
  });
}

// Each of them has a heap of its own, which the C library doesn't trim at its end.
TEST(MemoryLimit, ThreadsThatLoadLeaveNothingInTheirHeaps) {
  EmbeddingModelManager manager(Settings{});
  const auto load_and_cleanup = [&manager](int times) {
    for (int i = 0; i < times; ++i) {
      manager.embed_text(kText);
      EXPECT_TRUE(manager.cleanup());
    }
  };
  load_and_cleanup(5);
  const uint64_t one = status_bytes("VmRSS");
  std::mutex turn;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 6; ++i) {
      threads.emplace_back([&] {
        const std::lock_guard lock(turn);
        load_and_cleanup(3);
      });
    }
  }
  const uint64_t many = status_bytes("VmRSS");
  fmt::print("figure: {{\"rss_after_one\": {}, \"rss_after_many\": {}}}\n", one, many);
#ifndef REMUDA_SANITIZED
  EXPECT_LE(static_cast<double>(many), 1.1 * static_cast<double>(one));
#endif
}

// Whoever is idle has nothing of his own, and all managers of a model share its weights.
TEST(MemoryLimit, EightManagersOfTwoInstancesTakeWhatOneTakes) {
  const char* model = std::getenv("REMUDA_TEST_BART");
  Settings settings;
  settings.precision = Precision::kInt8;
  if (model != nullptr) settings.summarization_model = model;
  const SummarizeOptions options{.generation = {.num_beams = 4, .max_length = 24}};
  std::string document;
  for (int i = 0; i < 60; ++i) document += "The horses came down to the river at dawn. ";
  const auto peak_of = [&](int managers) {
    std::vector<std::unique_ptr<SummarizationModelManager>> all;
    for (int i = 0; i < managers; ++i) all.push_back(std::make_unique<SummarizationModelManager>(settings));
    reset_peak();
    for (auto& manager : all) {
      if (managers == 1) {
        manager->summarize_text(document, options);
        continue;
      }
      auto first = manager->acquire();
      auto second = manager->acquire();
      std::thread other([&] { manager->summarize_text(document, *first, options); });
      manager->summarize_text(document, *second, options);
      other.join();
    }
    return status_bytes("VmHWM");
  };
  peak_of(1);  // Packs the weights where nobody has.
  const uint64_t one = peak_of(1);
  const uint64_t many = peak_of(8);
  fmt::print("figure: {{\"one_manager_peak_rss\": {}, \"eight_managers_peak_rss\": {}}}\n", one, many);
#ifndef REMUDA_SANITIZED
  EXPECT_LE(static_cast<double>(many), 1.25 * static_cast<double>(one));
#endif
}

// Loads of an optimal replay (Belady 1966): what isn't needed for the longest time goes first.
int64_t optimal_loads(const std::vector<int>& requests, const std::vector<uint64_t>& sizes, uint64_t room) {
  std::vector<std::vector<size_t>> uses(sizes.size());
  for (size_t i = requests.size(); i-- > 0;) uses[static_cast<size_t>(requests[i])].push_back(i);
  std::set<int> loaded;
  int64_t loads = 0;
  for (const int wanted : requests) {
    uses[static_cast<size_t>(wanted)].pop_back();
    if (loaded.contains(wanted)) continue;
    ++loads;
    loaded.insert(wanted);
    const auto taken = [&] {
      uint64_t sum = 0;
      for (const int model : loaded) sum += sizes[static_cast<size_t>(model)];
      return sum;
    };
    while (taken() > room) {
      const auto next = [&](int model) {
        const auto& left = uses[static_cast<size_t>(model)];
        return model == wanted ? size_t{0} : left.empty() ? SIZE_MAX : left.back();
      };
      loaded.erase(*std::ranges::max_element(loaded, {}, next));
    }
  }
  return loads;
}

TEST(MemoryLimit, FiveModelsUsedAtRandomByManyThreadsKeepToIt) {
  const int64_t seconds = from_environment("REMUDA_TEST_SECONDS", 2);
  const bool full = seconds >= 60;
  constexpr int kThreads = 16;
  const int64_t hidden = full ? 512 : 256;
  const std::vector<int64_t> layers = {5, 7, 10, 13, 15};
  const uint64_t limit = full ? 300'000'000 : 75'000'000;
  std::vector<std::unique_ptr<RandomEncoder>> models;
  std::vector<std::unique_ptr<EmbeddingModelManager>> managers;
  std::vector<uint64_t> sizes;
  const ScratchDirectory cache;
  for (const int64_t count : layers) {
    models.push_back(
        std::make_unique<RandomEncoder>(RandomEncoderShape{.layers = count, .hidden = hidden, .inner = 4 * hidden}));
    Settings settings = limited(models.back()->settings(), limit);
    settings.cache_dir = cache.path();
    managers.push_back(std::make_unique<EmbeddingModelManager>(settings));
    managers.back()->warm_up();  // Packs the weights.
    sizes.push_back(managers.back()->acquire()->metadata().shared_bytes);
  }
  const MemoryBudgetStats before = stats_now();
  reset_peak();

  std::mutex mutex;
  std::vector<int> requests;
  std::atomic<int64_t> served = 0, refused = 0, failed = 0;
  const auto end = Clock::now() + std::chrono::seconds(seconds);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<unsigned>(t));
      while (Clock::now() < end) {
        const auto model = static_cast<size_t>(random() % managers.size());
        {
          const std::lock_guard lock(mutex);
          requests.push_back(static_cast<int>(model));
        }
        try {
          managers[model]->embed_text(kText);
          ++served;
        } catch (const Error& error) {
          ++refused;
          fmt::print("refused: {}\n", error.what());
        } catch (...) {
          ++failed;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();

  const MemoryBudgetStats after = stats_now();
  const uint64_t peak = status_bytes("VmHWM");
  const auto loads = static_cast<int64_t>(after.loads - before.loads);
  const int64_t optimal = optimal_loads(requests, sizes, limit);
  std::vector<uint64_t> megabytes;
  for (const uint64_t bytes : sizes) megabytes.push_back(bytes / 1'000'000);
  fmt::print(
      "figure: {{\"seconds\": {}, \"models_mb\": {}, \"limit\": {}, \"peak_rss\": {}, \"peak_counted\": {}, "
      "\"requests\": {}, \"served\": {}, \"refused\": {}, \"loads\": {}, \"optimal_loads\": {}, \"drains\": {}}}\n",
      seconds, megabytes, limit, peak, after.peak, requests.size(), served.load(), refused.load(), loads, optimal,
      after.drains - before.drains);
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(served + refused, static_cast<int64_t>(requests.size()));
  EXPECT_EQ(refused, 0) << "everyone's turn comes within the 10 s that a caller without a timeout waits";
  EXPECT_LE(after.peak, std::max(limit, before.peak));
  EXPECT_LE(loads, 2 * optimal);
#ifndef REMUDA_SANITIZED
  EXPECT_LE(peak, limit + kUncounted);
#endif
}

}  // namespace
}  // namespace remuda
