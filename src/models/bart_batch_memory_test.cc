// Documents decoded together with memory that is counted: as many as there is room for, and nobody waits for himself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <random>

#include "models/bart_batch.h"
#include "models/bart_test_support.h"
#include "models/cpu_bart.h"
#include "remuda/error.h"

namespace remuda::models {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class BartBatchMemoryTest : public ::testing::Test {
 protected:
  static constexpr int kDocuments = 6;
  static constexpr int64_t kBeams = 3;
  static constexpr int64_t kLength = 12;

  BartBatchMemoryTest() {
    budget_.add_cache([this] { arena_.trim(); });
    GenerationOptions options;
    options.num_beams = kBeams;
    options.max_length = kLength;
    options.min_length = kLength;
    options.decoder_start_token_id = 9;
    options.eos_token_id = TokenIds{7};
    plan_ = std::make_shared<const GenerationPlan>(
        resolve(options, {.vocabulary = bart_.model.config().vocab_size,
                          .max_positions = bart_.model.config().max_position_embeddings}));
    std::mt19937 random(1);
    for (int i = 0; i < kDocuments; ++i) {
      std::vector<int32_t> ids(static_cast<size_t>(60 - 7 * i));
      for (int32_t& id : ids) id = static_cast<int32_t>(random() % 100);
      documents_.push_back(std::move(ids));
    }
  }

  uint64_t bytes_of(int64_t tokens) const {
    return bart_.model.document_bytes(tokens, {.max_rows = kBeams, .max_positions = kLength - 1}) +
           std::max(bart_.model.encode_bytes(tokens), bart_.model.step_bytes(kBeams));
  }
  BartBatch batch() {
    return BartBatch(make_cpu_engine(bart_.model, arena_, pool_), {.budget = &budget_, .weights = 0});
  }

  using Results = std::map<int64_t, std::vector<Hypothesis>>;
  void step(BartBatch& batch, Results& results, size_t& most) {
    const auto stepped = batch.step();
    waits_ += stepped.empty() ? 1 : 0;
    most = std::max(most, stepped.size());
    for (const int64_t number : stepped) {
      if (batch.error(number) != nullptr) std::rethrow_exception(batch.error(number));
      if (!batch.search(number)->finished()) continue;
      results[number] = batch.search(number)->results();
      batch.forget(number);
    }
  }
  std::pair<Results, size_t> run() {
    BartBatch all = batch();
    for (const auto& ids : documents_) all.add(ids, plan_);
    Results results;
    size_t most = 0;
    while (!all.finished()) step(all, results, most);
    return {results, most};
  }

  TinyBart bart_{"scaled"};
  ComputePool pool_{1};
  MemoryBudget budget_{"test", [] { return std::optional<uint64_t>(); }};
  WorkspaceArena arena_{budget_};
  std::shared_ptr<const GenerationPlan> plan_;
  std::vector<std::vector<int32_t>> documents_;
  int waits_ = 0;
};

TEST_F(BartBatchMemoryTest, EveryLimitThatIsEnoughForTheLargestIsEnoughForAll) {
  const auto [wanted, all] = run();
  EXPECT_EQ(all, size_t{kDocuments});
  EXPECT_EQ(wanted.size(), size_t{kDocuments});
  const uint64_t largest = bytes_of(60);
  size_t most_with_plenty = 0;
  for (uint64_t limit = largest; limit < 8 * largest; limit += largest / 3) {
    arena_.trim();
    const auto limited = budget_.limit_to(limit);
    const auto [found, most] = run();
    EXPECT_EQ(found, wanted) << limit;
    EXPECT_LE(budget_.stats().used, limit);
    most_with_plenty = most;
  }
  EXPECT_EQ(most_with_plenty, size_t{kDocuments});
  EXPECT_EQ(waits_, 0) << "for memory that it has itself";
}

TEST_F(BartBatchMemoryTest, TheLimitIsNeverExceeded) {
  const uint64_t limit = bytes_of(60) * 5 / 2;
  const auto limited = budget_.limit_to(limit);
  const auto [found, most] = run();
  EXPECT_EQ(found.size(), size_t{kDocuments});
  EXPECT_GE(most, 2u);
  EXPECT_LT(most, size_t{kDocuments});
  EXPECT_LE(budget_.stats().peak, limit);
  arena_.trim();
  EXPECT_EQ(budget_.stats().used, 0u);
}

TEST_F(BartBatchMemoryTest, BatchesThatShareABudgetWaitForEachOtherAndNeverBothAtOnce) {
  const auto [wanted, all] = run();
  arena_.trim();
  const auto limited = budget_.limit_to(bytes_of(60) * 3 / 2);
  BartBatch first = batch(), second = batch();
  std::array<Results, 2> results;
  size_t most = 0;
  for (const auto& ids : documents_) {
    first.add(ids, plan_);
    second.add(ids, plan_);
  }
  while (!first.finished() || !second.finished()) {
    if (!first.finished()) step(first, results[0], most);
    if (!second.finished()) step(second, results[1], most);
  }
  EXPECT_EQ(results[0], wanted);
  EXPECT_EQ(results[1], wanted);
  EXPECT_GT(waits_, 0);
  EXPECT_LE(budget_.stats().used, bytes_of(60) * 3 / 2);
}

TEST_F(BartBatchMemoryTest, OneThatCanNeverFitIsRefusedAtOnceWithFigures) {
  const auto limited = budget_.limit_to(bytes_of(60) - 1);
  BartBatch all = batch();
  EXPECT_THAT([&] { all.add(documents_[0], plan_); },
              ThrowsMessage<OutOfMemory>(AllOf(HasSubstr("a document of 60 tokens"), HasSubstr("the memory limit"))));
  EXPECT_TRUE(all.finished());
  EXPECT_NO_THROW(all.add(documents_[5], plan_));
}

TEST_F(BartBatchMemoryTest, ADocumentThatIsForgottenGivesItsMemoryToOthers) {
  const auto limited = budget_.limit_to(bytes_of(60) * 11 / 10);
  BartBatch first = batch(), second = batch();
  const int64_t number = first.add(documents_[0], plan_);
  second.add(documents_[0], plan_);
  EXPECT_EQ(first.step().size(), 1u);
  EXPECT_EQ(second.step().size(), 0u) << "there is no room for it now";
  first.forget(number);
  EXPECT_EQ(second.step().size(), 1u);
}

}  // namespace
}  // namespace remuda::models
