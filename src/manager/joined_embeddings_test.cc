// Calls of different threads computed together: the same bytes as alone, and each call's end its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "device/compute_pool.h"
#include "manager/batcher.h"
#include "remuda/embedding_model_manager.h"
#include "remuda/error.h"

namespace remuda {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

std::string text(int number) {
  std::string line = "text " + std::to_string(number);
  for (int i = 0; i < number % 9; ++i) line += " the herd waits at dawn";
  return line;
}

ErrorCode code_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "expected an error";
  return ErrorCode::kInternal;
}

template <typename Predicate>
void wait_until(Predicate predicate) {
  const auto deadline = Clock::now() + 20s;
  while (!predicate() && Clock::now() < deadline) std::this_thread::sleep_for(1ms);
  ASSERT_TRUE(predicate());
}

// One instance, which the test holds while calls gather.
class JoinedEmbeddings : public ::testing::Test {
 protected:
  static Settings one_instance(const std::string& model = {}) {
    Settings settings;
    settings.model_pool_max_instances = 1;
    if (!model.empty()) settings.embedding_model = model;
    return settings;
  }

  // Starts the calls, and lets them go when they all wait.
  static void run(EmbeddingModelManager& manager, const std::vector<std::function<void()>>& calls) {
    std::optional<Lease<EmbeddingInstance>> lease = manager.acquire();
    std::vector<std::thread> threads;
    for (const auto& call : calls) threads.emplace_back(call);
    wait_until([&] { return manager.get_pool_stats().waiting == 1; });
    std::this_thread::sleep_for(50ms);
    EXPECT_EQ(manager.get_pool_stats().waiting, 1) << "one waits for all";
    lease.reset();
    for (std::thread& thread : threads) thread.join();
  }

  EmbeddingModelManager manager_{one_instance()};
};

TEST_F(JoinedEmbeddings, CallsThatWaitAreComputedTogether) {
  constexpr int kCalls = 12;
  std::vector<std::vector<float>> alone, joined(kCalls);
  for (int i = 0; i < kCalls; ++i) alone.push_back(manager_.embed_text(text(i)));
  const uint64_t before = manager_.get_pool_stats().acquires;
  std::vector<std::function<void()>> calls;
  for (int i = 0; i < kCalls; ++i) {
    calls.emplace_back([&, i] { joined[static_cast<size_t>(i)] = manager_.embed_text(text(i)); });
  }
  run(manager_, calls);
  EXPECT_EQ(joined, alone);
  EXPECT_LE(manager_.get_pool_stats().acquires - before, kCalls / 2) << "leases, the test's included";
  EXPECT_EQ(manager_.get_pool_stats().in_use, 0);
}

// A deadline bounds the wait for the first batch. Here the second comes from another session, which opens long after
// it.
TEST_F(JoinedEmbeddings, ACallThatHasBegunWaitsForAnotherSessionBeyondItsDeadline) {
  const std::vector<std::string> texts(200, text(4));
  const std::vector<float> alone = manager_.embed_texts(texts).values;
  const Clock::time_point before = Clock::now();
  manager_.embed_text(texts[0]);
  const auto batch = Clock::now() - before;
  const auto timeout = 1s + 40 * batch;
  const EmbedOptions options{.max_batch_tokens = 1};  // A text a batch.
  std::thread leader([&] { manager_.embed_texts(texts, options); });
  wait_until([&] { return manager_.get_pool_stats().in_use == 1; });
  const Clock::time_point start = Clock::now();
  std::vector<float> joined;
  std::thread late([&] {
    EmbedOptions bounded = options;
    bounded.timeout = timeout;
    EXPECT_NO_THROW(joined = manager_.embed_texts(texts, bounded).values);
  });
  std::this_thread::sleep_for(50ms + 10 * batch);  // Its first batches come in turn with the leader's.
  {
    const Lease<EmbeddingInstance> lease = manager_.acquire();  // The session gives way to it.
    leader.join();
    std::this_thread::sleep_until(start + timeout + 200ms);
  }
  late.join();
  EXPECT_EQ(joined, alone);
}

TEST_F(JoinedEmbeddings, OptionsThatDifferHinderNobody) {
  // Leaves prompts out of the pooling.
  EmbeddingModelManager manager(
      one_instance((std::filesystem::path(REMUDA_SOURCE_DIR) / "tests/golden/encoders/bert_prompts").string()));
  std::vector<EmbedOptions> options;
  for (const char* prompt : {"", "the ", "a long prompt of many words: "}) {
    for (const int64_t max_length : {4, 7, 20}) {
      for (const int64_t max_batch_tokens : {1, 30, 512}) {
        options.push_back({.prompt = prompt, .max_length = max_length, .max_batch_tokens = max_batch_tokens});
      }
    }
  }
  const std::vector<std::string> texts = {text(3), "", text(1), text(8)};
  std::vector<std::vector<float>> alone, joined(options.size());
  for (const EmbedOptions& each : options) alone.push_back(manager.embed_texts(texts, each).values);
  std::vector<std::function<void()>> calls;
  for (size_t i = 0; i < options.size(); ++i) {
    calls.emplace_back([&, i] { joined[i] = manager.embed_texts(texts, options[i]).values; });
  }
  run(manager, calls);
  EXPECT_EQ(joined, alone);
}

TEST_F(JoinedEmbeddings, OneWhoseTimeIsUpWaitsNoLongerAndCostsNothing) {
  const Lease<EmbeddingInstance> lease = manager_.acquire();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      const auto start = Clock::now();
      EXPECT_THROW(manager_.embed_text("a", EmbedOptions{.timeout = 100ms}), TimeoutError);
      EXPECT_GE(Clock::now() - start, 100ms);
      EXPECT_LE(Clock::now() - start, 3s);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(manager_.get_pool_stats().acquires, 1u);
  EXPECT_EQ(manager_.get_pool_stats().waiting, 0);
}

// Who waits for the instance, for all, and who is woken to do so instead, give up at the same moment.
TEST_F(JoinedEmbeddings, OneIsServedWhenAllBeforeItGiveUpAtOnce) {
  for (int round = 0; round < 30; ++round) {
    std::optional<Lease<EmbeddingInstance>> lease = manager_.acquire();
    std::atomic<bool> give_up = false;
    std::vector<std::thread> hasty;
    for (int i = 0; i < 8; ++i) {
      hasty.emplace_back([&] {
        const EmbedOptions options{.cancelled = [&give_up] { return give_up.load(); }};
        EXPECT_EQ(code_of([&] { manager_.embed_text("a", options); }), ErrorCode::kCancelled);
      });
    }
    wait_until([&] { return manager_.get_pool_stats().waiting == 1; });
    std::this_thread::sleep_for(10ms);
    std::future<std::vector<float>> patient = std::async(std::launch::async, [&] { return manager_.embed_text("a"); });
    std::this_thread::sleep_for(10ms);
    give_up = true;
    for (std::thread& thread : hasty) thread.join();
    lease.reset();
    const bool is_served = patient.wait_for(10s) == std::future_status::ready;
    EXPECT_TRUE(is_served) << "round " << round;
    if (is_served) continue;
    manager_.close();
    EXPECT_THROW(patient.get(), PoolClosed);
    return;
  }
}

TEST_F(JoinedEmbeddings, OneThatIsCancelledLeavesTheOthersAlone) {
  const std::vector<float> wanted = manager_.embed_text("a");
  std::optional<Lease<EmbeddingInstance>> lease = manager_.acquire();
  std::atomic<bool> give_up = false;
  std::atomic<int> ended = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&, i] {
      if (i % 2 == 0) {
        EXPECT_EQ(manager_.embed_text("a"), wanted);
        return;
      }
      EmbedOptions options;
      options.cancelled = [&, i, caller = std::this_thread::get_id()] {
        EXPECT_EQ(std::this_thread::get_id(), caller);
        if (give_up && i == 3) throw std::runtime_error("a callback of the caller's own");
        return give_up.load();
      };
      if (i == 3) {
        EXPECT_THROW(manager_.embed_text("a", options), std::runtime_error);
      } else {
        EXPECT_EQ(code_of([&] { manager_.embed_text("a", options); }), ErrorCode::kCancelled);
      }
      ++ended;
    });
  }
  wait_until([&] { return manager_.get_pool_stats().waiting == 1; });
  give_up = true;
  wait_until([&] { return ended == 3; });
  lease.reset();
  for (std::thread& thread : threads) thread.join();
}

// Nobody polls: not who waits for the instance for all, nor who waits for him.
TEST_F(JoinedEmbeddings, AStopEndsAWaitAtOnceAndCostsNothingBefore) {
  constexpr size_t kCalls = 20;
  const std::vector<float> wanted = manager_.embed_text("a");
  std::optional<Lease<EmbeddingInstance>> lease = manager_.acquire();
  std::vector<std::stop_source> stops(kCalls);
  std::vector<Clock::time_point> ended(kCalls);
  std::vector<int64_t> switches(kCalls);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kCalls; ++i) {
    threads.emplace_back([&, i] {
      EXPECT_EQ(code_of([&] { manager_.embed_text("a", {.stop = stops[i].get_token()}); }), ErrorCode::kCancelled);
      ended[i] = Clock::now();
      rusage usage{};
      getrusage(RUSAGE_THREAD, &usage);
      switches[i] = usage.ru_nvcsw;
    });
  }
  std::thread patient([&] { EXPECT_EQ(manager_.embed_text("a", {.stop = std::stop_source().get_token()}), wanted); });
  wait_until([&] { return manager_.get_pool_stats().waiting == 1; });
  std::this_thread::sleep_for(500ms);
  std::vector<Clock::duration> took;
  for (size_t i = 0; i < kCalls; ++i) {
    const auto start = Clock::now();
    stops[i].request_stop();
    threads[i].join();
    took.push_back(ended[i] - start);
    EXPECT_LT(switches[i], 40) << "a look every 5 ms would make 100";
  }
  std::ranges::sort(took);
  EXPECT_LT(took[kCalls / 2], 5ms);
  lease.reset();
  patient.join();
}

TEST_F(JoinedEmbeddings, AStopEndsAnyKindOfCall) {
  std::stop_source stop;
  std::future<Embeddings> waiting;
  {
    const Lease<EmbeddingInstance> lease = manager_.acquire();
    waiting = manager_.submit({"a"}, {.stop = stop.get_token()});
    std::future<Embeddings> patient = manager_.submit({"a"});
    wait_until([&] { return manager_.get_pool_stats().waiting == 1; });
    stop.request_stop();
    EXPECT_EQ(code_of([&] { waiting.get(); }), ErrorCode::kCancelled);
    EXPECT_EQ(patient.wait_for(0s), std::future_status::timeout);
  }
  const EmbedOptions stopped{.stop = stop.get_token()};
  EXPECT_EQ(code_of([&] { manager_.embed_text("a", stopped); }), ErrorCode::kCancelled);
  EXPECT_EQ(code_of([&] { manager_.submit({"a"}, stopped).get(); }), ErrorCode::kCancelled);
  const Lease<EmbeddingInstance> lease = manager_.acquire();
  EXPECT_EQ(code_of([&] { manager_.embed_text("a", *lease, stopped); }), ErrorCode::kCancelled);
}

TEST_F(JoinedEmbeddings, WhatIsWrongWithTheModelIsForAllWhoWait) {
  Settings settings;
  settings.memory_limit = MemoryLimit::parse("10MiB", "memory_limit");
  EmbeddingModelManager manager(settings);
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] { EXPECT_THROW(manager.embed_text("a"), OutOfMemory); });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(JoinedEmbeddings, ClosingEndsThoseWhoWait) {
  manager_.warm_up();
  const Lease<EmbeddingInstance> lease = manager_.acquire();
  std::vector<std::thread> threads;
  for (int i = 0; i < 5; ++i) {
    threads.emplace_back([&] { EXPECT_THROW(manager_.embed_text("a"), PoolClosed); });
  }
  std::vector<std::future<Embeddings>> futures;
  for (int i = 0; i < 5; ++i) futures.push_back(manager_.submit({"a"}));
  wait_until([&] { return manager_.get_pool_stats().waiting == 1; });
  manager_.close();
  for (std::thread& thread : threads) thread.join();
  for (auto& future : futures) EXPECT_THROW(future.get(), PoolClosed);
  EXPECT_THROW(manager_.embed_text("a"), PoolClosed);
  EXPECT_THROW(manager_.submit({"a"}).get(), PoolClosed);
}

TEST_F(JoinedEmbeddings, AnInstanceThatSomebodyWaitsForIsGivenUp) {
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&, i] {
      while (!stop) manager_.embed_text(text(i));
    });
  }
  for (int i = 0; i < 10; ++i) EXPECT_NO_THROW(manager_.acquire({.timeout = 20s}));
  stop = true;
  for (std::thread& thread : threads) thread.join();
}

TEST_F(JoinedEmbeddings, WithoutAPoolItIsTheSame) {
  const std::vector<float> wanted = manager_.embed_text("a");
  Settings settings;
  settings.model_pool_enabled = false;
  EmbeddingModelManager manager(settings);
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 5; ++round) EXPECT_EQ(manager.embed_text("a"), wanted);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(manager.get_pool_stats().total, 0);
}

TEST_F(JoinedEmbeddings, AFutureHasWhatTheCallReturns) {
  std::vector<std::future<Embeddings>> futures;
  for (int i = 0; i < 20; ++i) futures.push_back(manager_.submit({text(i), "", text(i + 1)}));
  for (int i = 0; i < 20; ++i) {
    const Embeddings found = futures[static_cast<size_t>(i)].get();
    const Embeddings wanted = manager_.embed_texts(std::vector<std::string>{text(i), "", text(i + 1)});
    EXPECT_EQ(found.values, wanted.values);
    EXPECT_EQ(found.used_tokens, wanted.used_tokens);
  }
  EXPECT_EQ(manager_.submit({}).get().size(), 0);
}

TEST_F(JoinedEmbeddings, AFutureHasTheErrorThatTheCallThrows) {
  EXPECT_EQ(code_of([&] { manager_.submit({"a"}, {.max_length = 1}).get(); }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of([&] { manager_.submit({"a"}, {.cancelled = [] { return true; }}).get(); }), ErrorCode::kCancelled);
  const Lease<EmbeddingInstance> lease = manager_.acquire();
  std::future<Embeddings> patient = manager_.submit({"a"}, {.timeout = 60s});
  std::future<Embeddings> hasty = manager_.submit({"a"}, {.timeout = 50ms});
  EXPECT_THROW(hasty.get(), TimeoutError);
  EXPECT_EQ(patient.wait_for(0s), std::future_status::timeout);
}

TEST_F(JoinedEmbeddings, ADestroyedManagerKeepsNoFutureWaiting) {
  auto manager = std::make_unique<EmbeddingModelManager>(one_instance());
  std::vector<std::future<Embeddings>> futures;
  for (int i = 0; i < 200; ++i) futures.push_back(manager->submit({text(i)}));
  manager.reset();
  for (auto& future : futures) {
    ASSERT_EQ(future.wait_for(0s), std::future_status::ready);
    try {
      EXPECT_EQ(future.get().size(), 1);
    } catch (const PoolClosed&) {
    }
  }
}

#ifndef REMUDA_THREAD_SANITIZER
// Loose: what else the machine does is not ours to say. `remuda bench embed --callers 16` has the figures.
TEST_F(JoinedEmbeddings, ManyCallersAreNotFarFromOneCallWithAllTexts) {
  constexpr int kCallers = 16;
  constexpr int kEach = 8;
  EmbeddingModelManager manager;
  std::vector<std::string> texts;
  for (int i = 0; i < kCallers * kEach; ++i) texts.push_back(text(i % 3));
  manager.embed_texts(texts);
  double best = 0;
  for (int round = 0; round < 10 && best < 0.6; ++round) {
    auto start = Clock::now();
    manager.embed_texts(texts);
    const auto one_call = Clock::now() - start;
    start = Clock::now();
    std::vector<std::thread> threads;
    for (int t = 0; t < kCallers; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < kEach; ++i) manager.embed_text(texts[static_cast<size_t>(t * kEach + i)]);
      });
    }
    for (std::thread& thread : threads) thread.join();
    const auto joined = Clock::now() - start;
    best = std::max(best, std::chrono::duration<double>(one_call) / std::chrono::duration<double>(joined));
  }
  EXPECT_GE(best, 0.6);
}
#endif

TEST(JoinedEmbeddingsQueue, MoreThanMayWaitAreRefusedAtOnce) {
  Settings settings;
  settings.model_pool_max_instances = 1;
  settings.max_waiting = 2;
  EmbeddingModelManager manager(settings);
  std::optional<Lease<EmbeddingInstance>> lease = manager.acquire();
  constexpr int kCallers = 40;
  const int64_t taken_in = sessions_for(ComputePool::global().threads()) + *settings.max_waiting;
  std::atomic<int> served = 0, overloaded = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < taken_in + kCallers; ++i) {
    threads.emplace_back([&, i] {
      try {
        manager.embed_text(text(i));
        ++served;
      } catch (const Overloaded&) {
        ++overloaded;
      }
    });
  }
  wait_until([&] { return overloaded == kCallers; });
  EXPECT_EQ(manager.get_pool_stats().overloaded, static_cast<uint64_t>(kCallers));
  EXPECT_THROW(manager.submit({"one more"}).get(), Overloaded);
  EXPECT_EQ(manager.get_pool_stats().overloaded, static_cast<uint64_t>(kCallers + 1));
  lease.reset();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(served, taken_in);
  EXPECT_EQ(manager.get_pool_stats().overloaded, static_cast<uint64_t>(kCallers + 1));
}

TEST(JoinedEmbeddingsQueue, ARefusalOfThePoolsOwnCountsOnce) {
  Settings settings;
  settings.model_pool_max_instances = 1;
  settings.max_waiting = 1;
  EmbeddingModelManager manager(settings);
  std::optional<Lease<EmbeddingInstance>> lease = manager.acquire();
  std::thread waiter([&] { manager.acquire(); });
  wait_until([&] { return manager.get_pool_stats().waiting == 1; });
  EXPECT_THROW(manager.embed_text("a"), Overloaded);
  EXPECT_THROW(manager.submit({"a"}).get(), Overloaded);
  EXPECT_EQ(manager.get_pool_stats().overloaded, 2u);
  lease.reset();
  waiter.join();
  manager.close();
  EXPECT_THROW(manager.embed_text("a"), PoolClosed);
  EXPECT_THROW(manager.submit({"a"}).get(), PoolClosed);
  EXPECT_EQ(manager.get_pool_stats().overloaded, 2u) << "a closed pool is not an overloaded one";
}

}  // namespace
}  // namespace remuda
