// Documents of different callers decoded together: the same ids as alone, and each call's end its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <map>
#include <mutex>
#include <random>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "device/compute_pool.h"
#include "manager/batcher.h"
#include "manager/summarization_test_support.h"
#include "remuda/error.h"
#include "remuda/summarization_model_manager.h"

namespace remuda {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

const std::vector<std::string> kTexts = {
    "The herd waits at dawn.", "A remuda is a herd of saddle horses from which ranch hands choose their mounts.",
    "Bread rises because yeast ferments sugar.", "one two three four five six seven eight nine ten eleven twelve",
    "The stock market fell, then it rose; nobody knew why."};

// Different kinds of search, different lengths.
SummarizeOptions options_of(int number) {
  SummarizeOptions options;
  options.generation.num_beams = 1 + number % 4;
  options.generation.max_length = 8 + 5 * (number % 5);
  if (number % 4 == 0) options.generation.do_sample = true;
  options.generation.seed = number;
  if (number % 3 == 0) options.max_batch_tokens = 150;
  return options;
}

// More than one batch of documents, so that a call goes on for a while whoever leads.
const std::vector<std::string> kMany(300, kTexts[1]);

// Many steps, with some text for certain.
SummarizeOptions chatty_options() {
  SummarizeOptions options;
  options.generation.num_beams = 1;
  options.generation.do_sample = true;
  options.generation.max_length = options.generation.min_length = 60;
  return options;
}

std::vector<std::string> texts_of(int number) {
  std::vector<std::string> texts = {kTexts[static_cast<size_t>(number) % 5]};
  if (number % 3 == 1) texts.insert(texts.end(), {"", kTexts[static_cast<size_t>(number + 2) % 5]});
  return texts;
}

std::vector<TokenIds> ids_of(const std::vector<Summary>& summaries) {
  std::vector<TokenIds> ids;
  for (const Summary& summary : summaries) ids.push_back(summary.best.ids);
  return ids;
}

class JoinedSummaries : public ::testing::Test {
 protected:
  static constexpr int kCalls = 12;

  static Settings with_instances(const SmallBart& bart, int64_t instances) {
    Settings settings = bart.settings();
    settings.model_pool_max_instances = instances;
    return settings;
  }

  void SetUp() override {
    const auto lease = manager_.acquire();
    for (int i = 0; i < kCalls; ++i) alone_.push_back(ids_of(manager_.summarize(texts_of(i), *lease, options_of(i))));
  }

  // Calls `call(i)` on threads of their own, and lets them go when they wait.
  template <typename Call>
  void run(Call call) {
    std::optional<Lease<SummarizationInstance>> lease = manager_.acquire();
    std::vector<std::thread> threads;
    for (int i = 0; i < kCalls; ++i) threads.emplace_back([&call, i] { call(i); });
    while (manager_.get_pool_stats().waiting == 0) std::this_thread::sleep_for(1ms);
    std::this_thread::sleep_for(50ms);
    EXPECT_EQ(manager_.waiting(), 1) << "one waits for all";
    lease.reset();
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(manager_.get_pool_stats().in_use, 0);
  }

  void expect_as_alone(int number) {
    EXPECT_EQ(ids_of(manager_.summarize(texts_of(number), options_of(number))), alone_[static_cast<size_t>(number)]);
  }

  const SmallBart bart_;
  SummarizationModelManager manager_{with_instances(bart_, 1)};
  std::vector<std::vector<TokenIds>> alone_;
};

TEST_F(JoinedSummaries, CallsThatWaitAreDecodedTogether) {
  const uint64_t before = manager_.get_pool_stats().acquires;
  run([&](int i) { expect_as_alone(i); });
  EXPECT_LE(manager_.get_pool_stats().acquires - before, kCalls / 2) << "leases, the test's included";
}

// Several parts, and a level of summaries.
std::string long_text() {
  std::string text;
  for (size_t i = 0; i < 40; ++i) text += kTexts[i % 5] + (i % 7 == 6 ? "\n\n" : " ");
  return text;
}

void expect_same(const LongSummary& found, const LongSummary& wanted) {
  EXPECT_EQ(found.summary.best.ids, wanted.summary.best.ids);
  EXPECT_EQ(found.summary.best.text, wanted.summary.best.text);
  EXPECT_EQ(found.summary.best.score, wanted.summary.best.score);
  EXPECT_EQ(found.merges, wanted.merges);
  EXPECT_EQ(found.merged, wanted.merged);
  ASSERT_EQ(found.parts.size(), wanted.parts.size());
  for (size_t i = 0; i < wanted.parts.size(); ++i) EXPECT_EQ(found.parts[i].summary, wanted.parts[i].summary);
}

TEST_F(JoinedSummaries, PartsOfLongDocumentsJoinOtherCalls) {
  std::vector<LongSummary> alone;
  uint64_t requests = 0;
  for (int i = 0; i < kCalls; ++i) {
    alone.push_back(manager_.summarize_long(long_text(), *manager_.acquire(), options_of(i)));
    ASSERT_GT(alone.back().parts.size(), 3u);
    requests += i % 3 == 0 ? 1 : static_cast<uint64_t>(alone.back().merges) + 1;
  }
  const uint64_t before = manager_.get_pool_stats().acquires;
  run([&](int i) {
    if (i % 3 == 0) return expect_as_alone(i);
    std::string streamed;
    SummarizeOptions options = options_of(i);
    options.on_text = [&](int64_t document, std::string_view text) {
      EXPECT_EQ(document, 0);
      streamed += text;
    };
    const LongSummary found = manager_.summarize_long(long_text(), options);
    expect_same(found, alone[static_cast<size_t>(i)]);
    EXPECT_EQ(streamed, found.summary.best.text);
  });
  EXPECT_LT(manager_.get_pool_stats().acquires - before, requests) << "leases, the test's included";
}

// Its parts' summaries are work that was done for it.
TEST_F(JoinedSummaries, ALongDocumentThatWasTakenInIsNotRefusedHalfway) {
  Settings settings = with_instances(bart_, 1);
  settings.max_waiting = 1;
  SummarizationModelManager manager(settings);
  const LongSummary alone = manager.summarize_long(long_text(), *manager.acquire());
  ASSERT_GE(alone.merges, 1);
  const uint64_t before = manager.get_pool_stats().acquires;
  std::vector<std::jthread> others;
  std::optional<Lease<SummarizationInstance>> lease;
  SummarizeOptions options;
  // Between two levels: as many calls as may wait.
  options.cancelled = [&] {
    const PoolStats stats = manager.get_pool_stats();
    if (!others.empty() || stats.acquires == before || stats.in_use > 0) return false;
    lease = manager.acquire();
    for (int64_t i = 0; i <= sessions_for(ComputePool::global().threads()); ++i) {
      others.emplace_back([&] {
        for (bool is_served = false; !is_served;) {
          try {
            manager.summarize_text(kTexts[1]);
            is_served = true;
          } catch (const Overloaded&) {  // The one below had the place.
          }
        }
      });
    }
    const auto until = Clock::now() + 20s;
    for (bool is_full = false; !is_full && Clock::now() < until;) {
      try {
        manager.summarize_text("one more", {.timeout = 1ms});
      } catch (const Overloaded&) {
        is_full = true;
      } catch (const TimeoutError&) {
      }
    }
    others.emplace_back([&] {
      std::this_thread::sleep_for(200ms);
      lease.reset();
    });
    return false;
  };
  expect_same(manager.summarize_long(long_text(), options), alone);
  EXPECT_FALSE(others.empty());
}

TEST_F(JoinedSummaries, EveryCallerGetsItsTextOnItsOwnThread) {
  run([&](int i) {
    std::map<int64_t, std::string> streamed;
    SummarizeOptions options = options_of(i);
    options.on_text = [&, caller = std::this_thread::get_id()](int64_t document, std::string_view text) {
      EXPECT_EQ(std::this_thread::get_id(), caller);
      if (i % 5 == 0) std::this_thread::sleep_for(2ms);
      streamed[document] += text;
    };
    const std::vector<Summary> found = manager_.summarize(texts_of(i), options);
    EXPECT_EQ(ids_of(found), alone_[static_cast<size_t>(i)]);
    for (size_t d = 0; d < found.size(); ++d) EXPECT_EQ(streamed[static_cast<int64_t>(d)], found[d].best.text);
  });
}

TEST_F(JoinedSummaries, ACallbackThatThrowsEndsItsOwnCallAlone) {
  run([&](int i) {
    if (i % 2 == 0) return expect_as_alone(i);
    SummarizeOptions options = chatty_options();
    if (i % 4 == 1) {
      options.on_text = [](int64_t, std::string_view) { throw std::runtime_error("enough"); };
    } else {
      int asked = 0;
      options.cancelled = [asked]() mutable -> bool {
        return ++asked > 2 ? throw std::runtime_error("enough") : false;
      };
    }
    EXPECT_THROW(manager_.summarize(kMany, options), std::runtime_error);
  });
}

TEST_F(JoinedSummaries, TheLastTextMayBeTheOneThatThrows) {
  SummarizeOptions options = chatty_options();
  int pieces = 0;
  options.on_text = [&pieces](int64_t, std::string_view) { ++pieces; };
  manager_.summarize_text(kTexts[1], options);
  ASSERT_GT(pieces, 1);
  int left = pieces;
  options.on_text = [&left](int64_t, std::string_view) {
    if (--left == 0) throw std::runtime_error("enough");
  };
  EXPECT_THROW(manager_.summarize_text(kTexts[1], options), std::runtime_error);
  EXPECT_EQ(manager_.get_pool_stats().in_use, 0);
}

TEST_F(JoinedSummaries, OneThatIsCancelledEndsAlone) {
  run([&](int i) {
    if (i % 2 == 0) return expect_as_alone(i);
    SummarizeOptions options = chatty_options();
    options.partial = i % 4 == 1;
    std::atomic<int> steps = 0;
    options.on_text = [&steps](int64_t, std::string_view) { ++steps; };
    options.cancelled = [&steps] { return steps > 3; };
    try {
      const std::vector<Summary> found = manager_.summarize(kMany, options);
      EXPECT_TRUE(options.partial);
      EXPECT_FALSE(found.back().best.complete);
      EXPECT_LT(found.back().output_tokens(), 60);
    } catch (const Error& error) {
      EXPECT_FALSE(options.partial);
      EXPECT_EQ(error.code(), ErrorCode::kCancelled);
    }
  });
}

TEST_F(JoinedSummaries, OneThatIsStoppedEndsAlone) {
  run([&](int i) {
    if (i % 2 == 0) return expect_as_alone(i);
    SummarizeOptions options = chatty_options();
    options.partial = i % 4 == 1;
    std::stop_source stop;
    options.stop = stop.get_token();
    std::jthread stopper;
    std::atomic<int> steps = 0;
    options.on_text = [&](int64_t, std::string_view) {
      if (++steps != 3) return;
      if (i % 3 == 0) {
        stop.request_stop();  // On the call's own thread.
      } else {
        stopper = std::jthread([&stop] { stop.request_stop(); });
      }
    };
    try {
      const std::vector<Summary> found = manager_.summarize(kMany, options);
      EXPECT_TRUE(options.partial);
      EXPECT_FALSE(found.back().best.complete);
    } catch (const Error& error) {
      EXPECT_FALSE(options.partial);
      EXPECT_EQ(error.code(), ErrorCode::kCancelled);
    }
  });
  std::stop_source stop;
  stop.request_stop();
  const SummarizeOptions partial{.stop = stop.get_token(), .partial = true};
  EXPECT_FALSE(manager_.summarize(kMany, partial).back().best.complete);
  EXPECT_FALSE(manager_.summarize(kMany, *manager_.acquire(), partial).back().best.complete);
  EXPECT_FALSE(manager_.submit(kMany, partial).get().back().best.complete);
}

TEST_F(JoinedSummaries, ADocumentThatIsTooLargeIsItsOwnersError) {
  Settings settings = with_instances(bart_, 1);
  const uint64_t weights = manager_.acquire()->metadata().shared_bytes;
  settings.memory_limit = MemoryLimit::parse(std::to_string(weights + 400'000), "memory_limit");
  SummarizationModelManager tight(settings);
  std::optional<Lease<SummarizationInstance>> lease = tight.acquire();
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&, i] {
      if (i % 2 == 0) {
        const auto lone = tight.summarize(texts_of(3), {.generation = {.num_beams = 1, .max_length = 8}});
        EXPECT_EQ(lone.size(), 1u);
      } else {
        EXPECT_THROW(tight.summarize(texts_of(3), {.generation = {.num_beams = 64, .max_length = 60}}), OutOfMemory);
      }
    });
  }
  std::this_thread::sleep_for(50ms);
  lease.reset();
  for (std::thread& thread : threads) thread.join();
}

TEST_F(JoinedSummaries, AFutureHasWhatTheCallReturns) {
  std::vector<std::future<std::vector<Summary>>> futures;
  std::mutex mutex;
  std::map<int, std::map<int64_t, std::string>> streamed;
  for (int i = 0; i < kCalls; ++i) {
    SummarizeOptions options = options_of(i);
    options.on_text = [&, i, caller = std::this_thread::get_id()](int64_t document, std::string_view text) {
      EXPECT_NE(std::this_thread::get_id(), caller);
      const std::lock_guard lock(mutex);
      streamed[i][document] += text;
    };
    futures.push_back(manager_.submit(texts_of(i), options));
  }
  for (int i = 0; i < kCalls; ++i) {
    const std::vector<Summary> found = futures[static_cast<size_t>(i)].get();
    EXPECT_EQ(ids_of(found), alone_[static_cast<size_t>(i)]);
    const std::lock_guard lock(mutex);
    for (size_t d = 0; d < found.size(); ++d) EXPECT_EQ(streamed[i][static_cast<int64_t>(d)], found[d].best.text);
  }
  EXPECT_THROW(manager_.submit({"a"}, {.max_batch_tokens = 0}).get(), Error);
  EXPECT_THROW(manager_.submit({"a"}, {.timeout = 0ns}).get(), TimeoutError);
}

// Whatever happens to a call, and whatever others do meanwhile: the right ids, or an error that says what happened.
TEST_F(JoinedSummaries, Stress) {
  constexpr int kThreads = 16;
  const auto until = Clock::now() + 3s;
  for (int round = 0; Clock::now() < until; ++round) {
    SummarizationModelManager manager(with_instances(bart_, 1 + round % 3));
    std::atomic<int> answers = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937 random(static_cast<unsigned>(round * kThreads + t));
        for (int call = 0; call < 6; ++call) {
          const int number = static_cast<int>(random() % kCalls);
          SummarizeOptions options = options_of(number);
          options.priority = static_cast<Priority>(random() % 3);
          const auto kind = random() % 8;
          int asked = 0;
          const int most = static_cast<int>(random() % 20);
          if (kind == 1) options.timeout = std::chrono::microseconds(random() % 20'000);
          if (kind == 2) options.cancelled = [&] { return ++asked > most; };
          std::stop_source stop;
          std::jthread stopper;
          if (kind == 5) {
            options.stop = stop.get_token();
            stopper = std::jthread([&stop, most] {
              std::this_thread::sleep_for(std::chrono::microseconds(1000 * most));
              stop.request_stop();
            });
          }
          if (kind == 3) {
            options.on_text = [&](int64_t, std::string_view) {
              if (++asked > most) throw std::runtime_error("enough");
            };
          }
          options.partial = kind == 4;
          try {
            const bool is_submitted = random() % 4 == 0;
            const std::vector<Summary> found = is_submitted ? manager.submit(texts_of(number), options).get()
                                                            : manager.summarize(texts_of(number), options);
            EXPECT_EQ(ids_of(found), alone_[static_cast<size_t>(number)]);
            ++answers;
          } catch (const TimeoutError&) {
            EXPECT_EQ(kind, 1u);
          } catch (const PoolClosed&) {
            EXPECT_EQ(round % 2, 1);
          } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::kCancelled);
            EXPECT_TRUE(kind == 2 || kind == 5);
          } catch (const std::runtime_error& error) {
            EXPECT_STREQ(error.what(), "enough");
          }
        }
      });
    }
    if (round % 2 == 1) {
      std::this_thread::sleep_for(std::chrono::milliseconds(round % 50));
      manager.close();
    }
    for (std::thread& thread : threads) thread.join();
    // A future is ready a moment before the instance is back.
    for (int i = 0; i < 5000 && manager.get_pool_stats().in_use > 0; ++i) std::this_thread::sleep_for(1ms);
    EXPECT_EQ(manager.get_pool_stats().in_use, 0);
    if (round % 2 == 0) {
      EXPECT_GT(answers, 0);
    }
  }
}

}  // namespace
}  // namespace remuda
