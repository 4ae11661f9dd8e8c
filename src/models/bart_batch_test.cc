// Documents decoded together: each as if it were alone, within the limits.
#include "models/bart_batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "models/bart_test_support.h"
#include "models/cpu_bart.h"
#include "models/ranked_engine_test_support.h"
#include "remuda/error.h"

namespace remuda::models {
namespace {

using ::testing::HasSubstr;

std::shared_ptr<const GenerationPlan> plan_of(const Bart& bart, int64_t beams, int64_t max_length,
                                              bool do_sample = false) {
  GenerationOptions options;
  options.do_sample = do_sample;
  options.num_beams = beams;
  options.max_length = max_length;
  options.decoder_start_token_id = 9;
  options.eos_token_id = TokenIds{7};
  options.no_repeat_ngram_size = 2;
  return std::make_shared<const GenerationPlan>(resolve(
      options, {.vocabulary = bart.config().vocab_size, .max_positions = bart.config().max_position_embeddings}));
}

std::vector<int32_t> document(int64_t length, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> ids(static_cast<size_t>(length));
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % 200);
  return ids;
}

enum class Way { kByLogits, kByRankedRows };

class BartBatchTest : public ::testing::TestWithParam<Way> {
 protected:
  struct Request {
    std::vector<int32_t> ids;
    std::shared_ptr<const GenerationPlan> plan;
  };

  // Documents and options of many kinds.
  std::vector<Request> requests() const {
    std::vector<Request> all;
    for (unsigned i = 0; i < 12; ++i) {
      all.push_back({document(1 + 5 * i, i), plan_of(bart_.model, 1 + i % 4, 8 + 3 * (i % 5), i % 6 == 4)});
    }
    return all;
  }

  std::unique_ptr<BartEngine> engine() { return engine(bart_.pool); }
  std::unique_ptr<BartEngine> engine(ComputePool& pool) { return engine(GetParam(), pool); }
  std::unique_ptr<BartEngine> engine(Way way, ComputePool& pool) {
    if (way == Way::kByRankedRows) return std::make_unique<RankedEngine>(bart_.model, bart_.arena, pool);
    return make_cpu_engine(bart_.model, bart_.arena, pool);
  }

  std::vector<std::vector<Hypothesis>> run(const std::vector<Request>& requests, const BatchLimits& limits,
                                           ComputePool& pool) {
    return run(engine(pool), requests, limits);
  }
  static std::vector<std::vector<Hypothesis>> run(std::unique_ptr<BartEngine> engine,
                                                  const std::vector<Request>& requests, const BatchLimits& limits) {
    BartBatch batch(std::move(engine), limits);
    for (const Request& request : requests) batch.add(request.ids, request.plan);
    std::vector<std::vector<Hypothesis>> results(requests.size());
    while (!batch.finished()) {
      for (const int64_t number : batch.step()) {
        const Search& search = *batch.search(number);
        if (!search.finished()) continue;
        results[static_cast<size_t>(number)] = search.results();
        batch.forget(number);
      }
    }
    return results;
  }

  TinyBart bart_{"scaled"};
};

INSTANTIATE_TEST_SUITE_P(Ways, BartBatchTest, testing::Values(Way::kByLogits, Way::kByRankedRows),
                         [](const auto& param) { return param.param == Way::kByLogits ? "Logits" : "RankedRows"; });

TEST_P(BartBatchTest, HowTokensAreChosenChangesNoResult) {
  const std::vector<Request> all = requests();
  EXPECT_EQ(run(all, {.max_tokens = 300}, bart_.pool), run(engine(Way::kByLogits, bart_.pool), all, {}));
}

TEST_P(BartBatchTest, EveryDocumentHasTheResultsThatItHasAlone) {
  const std::vector<Request> all = requests();
  std::vector<std::vector<Hypothesis>> alone;
  for (const Request& request : all) alone.push_back(run({request}, {}, bart_.pool)[0]);
  std::set<TokenIds> different;
  for (const auto& hypotheses : alone) {
    ASSERT_FALSE(hypotheses.empty());
    EXPECT_TRUE(hypotheses[0].complete);
    different.insert(hypotheses[0].ids);
  }
  EXPECT_GT(different.size(), 6u) << "documents that are all alike would show nothing";

  ComputePool one(1), three(3);
  for (ComputePool* pool : {&one, &three}) {
    for (const int64_t max_tokens : {1, 100, 300, 100'000}) {
      EXPECT_EQ(run(all, {.max_tokens = max_tokens}, *pool), alone) << max_tokens << " tokens at once";
    }
  }
}

TEST_P(BartBatchTest, WaitingDocumentsJoinAsOthersLeave) {
  const auto brief = plan_of(bart_.model, 1, 3);
  const auto lengthy = plan_of(bart_.model, 1, 40);
  // 10 tokens and 39 positions of a cache; 10 and 2.
  BartBatch batch(engine(), {.max_tokens = 49 + 12});
  batch.add(document(10, 1), lengthy);
  for (unsigned i = 2; i < 6; ++i) batch.add(document(10, i), brief);
  bool joined_late = false;
  while (!batch.finished()) {
    const auto stepped = batch.step();
    EXPECT_LE(stepped.size(), 2u);
    joined_late |= stepped.size() == 2 && stepped[0] == 0 && stepped[1] > 1;
  }
  EXPECT_TRUE(joined_late);
}

TEST_P(BartBatchTest, ADocumentThatIsLargerThanTheBatchRunsAlone) {
  BartBatch batch(engine(), {.max_tokens = 5});
  for (unsigned i = 0; i < 3; ++i) batch.add(document(20, i), plan_of(bart_.model, 2, 10));
  while (!batch.finished()) EXPECT_EQ(batch.step().size(), 1u);
}

TEST_P(BartBatchTest, OneThatIsForgottenLeavesTheOthersAsTheyAre) {
  const std::vector<Request> all = requests();
  BartBatch batch(engine(), {.max_tokens = 300});
  for (const Request& request : all) batch.add(request.ids, request.plan);
  batch.forget(11);  // It waits.
  batch.step();
  batch.forget(0);  // It runs.
  EXPECT_EQ(batch.search(0), nullptr);
  std::map<int64_t, std::vector<Hypothesis>> found;
  while (!batch.finished()) {
    for (const int64_t number : batch.step()) {
      if (batch.search(number)->finished()) found[number] = batch.search(number)->results();
    }
  }
  EXPECT_EQ(found.size(), 10u);
  for (const auto& [number, results] : found) {
    EXPECT_EQ(results, run({all[static_cast<size_t>(number)]}, {}, bart_.pool)[0]);
  }
}

TEST_P(BartBatchTest, AnErrorIsTheOnesWhoseItIs) {
  BartBatch batch(engine(), {});
  const Request good = requests()[3];
  batch.add(good.ids, good.plan);
  batch.add({1'000'000}, good.plan);  // Not in the vocabulary.
  batch.add(good.ids, good.plan);
  bool failed = false;
  while (!batch.finished()) {
    for (const int64_t number : batch.step()) {
      EXPECT_EQ(batch.error(number) != nullptr, number == 1);
      failed |= number == 1;
    }
  }
  EXPECT_TRUE(failed);
  const auto wanted = run({good}, {}, bart_.pool)[0];
  EXPECT_EQ(batch.search(0)->results(), wanted);
  EXPECT_EQ(batch.search(2)->results(), wanted);
}

TEST_P(BartBatchTest, RoomIsWhatEveryDocumentAllows) {
  const auto plan = plan_of(bart_.model, 1, 11);  // 10 tokens and 10 positions of a cache.
  BartBatch batch(engine(), {.max_tokens = 60});
  EXPECT_TRUE(batch.has_room({.ids = document(10, 1), .plan = plan, .max_tokens = 1})) << "alone";
  batch.add({.ids = document(10, 1), .plan = plan, .max_tokens = 40});
  EXPECT_TRUE(batch.has_room({.ids = document(10, 1), .plan = plan}));
  EXPECT_FALSE(batch.has_room({.ids = document(10, 1), .plan = plan, .max_tokens = 39}));
  batch.add(document(10, 2), plan);
  EXPECT_FALSE(batch.has_room({.ids = document(10, 1), .plan = plan})) << "40 is what the first allows";
  EXPECT_EQ(batch.step().size(), 2u);
}

TEST_P(BartBatchTest, TheDefaultIsForDocumentsThatAllowNoNumberOfTheirOwn) {
  const auto plan = plan_of(bart_.model, 1, 11);  // 10 tokens and 10 positions of a cache.
  const auto together = [&](std::optional<int64_t> max_tokens) {
    BartBatch batch(engine(), {.max_tokens = INT64_MAX, .default_max_tokens = 40});
    for (unsigned i = 0; i < 4; ++i) batch.add({.ids = document(10, i), .plan = plan, .max_tokens = max_tokens});
    const bool has_room = batch.has_room({.ids = document(10, 4), .plan = plan, .max_tokens = max_tokens});
    return std::pair(std::ssize(batch.step()), has_room);
  };
  EXPECT_EQ(together(std::nullopt), std::pair(std::ptrdiff_t{2}, false));
  EXPECT_EQ(together(60), std::pair(std::ptrdiff_t{3}, false));
  EXPECT_EQ(together(100), std::pair(std::ptrdiff_t{4}, true));
}

TEST_P(BartBatchTest, MemoryBoundsWhatRunsTogether) {
  const auto plan = plan_of(bart_.model, 2, 10);
  const auto ids = document(20, 1);
  const uint64_t one = bart_.model.document_bytes(20, {.max_rows = 2, .max_positions = 9}) + bart_.model.step_bytes(2) +
                       Workspace::matrix_bytes(2, bart_.model.config().vocab_size);
  BartBatch batch(engine(), {.max_bytes = 2 * one + bart_.model.encode_bytes(40)});
  for (int i = 0; i < 5; ++i) batch.add(ids, plan);
  EXPECT_EQ(batch.step().size(), 2u);

  const uint64_t too_few = one + bart_.model.encode_bytes(20) - 1;
  BartBatch small(engine(), {.max_bytes = too_few});
  EXPECT_THAT([&] { small.add(ids, plan); },
              testing::ThrowsMessage<OutOfMemory>(HasSubstr("leaves " + std::to_string(too_few) + " bytes")));
  EXPECT_TRUE(small.finished());
}

}  // namespace
}  // namespace remuda::models
