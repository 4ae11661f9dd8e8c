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

// Another engine on a GPU that has memory for so many documents, and for a step of so many.
class EngineWithoutMemory final : public BartEngine {
 public:
  struct Room {
    int64_t documents = INT64_MAX;
    int64_t stepped = INT64_MAX;
    bool is_lost = false;
  };

  EngineWithoutMemory(std::unique_ptr<BartEngine> engine, const Room& room) : engine_(std::move(engine)), room_(room) {}

  const io::BartConfig& config() const override { return engine_->config(); }
  size_t document_bytes(int64_t encoder_tokens, const DecodeLimits& limits) const override {
    return engine_->document_bytes(encoder_tokens, limits);
  }
  size_t encode_bytes(int64_t tokens) const override { return engine_->encode_bytes(tokens); }
  size_t step_bytes(int64_t rows) const override { return engine_->step_bytes(rows); }

  std::vector<std::unique_ptr<Document>> encode(const RaggedIds& batch, std::span<const DecodeLimits> limits) override {
    check(documents_ + batch.sequences(), room_.documents);
    std::vector<std::unique_ptr<Document>> documents;
    for (auto& document : engine_->encode(batch, limits)) {
      documents.push_back(std::make_unique<Counted>(std::move(document), documents_));
    }
    return documents;
  }

  void step(std::span<DocumentStep> documents) override {
    check(std::ssize(documents), room_.stepped);
    std::vector<DocumentStep> inner(documents.begin(), documents.end());
    for (DocumentStep& step : inner) step.document = static_cast<Counted&>(*step.document).document.get();
    engine_->step(inner);
    for (size_t i = 0; i < inner.size(); ++i) documents[i].error = inner[i].error;
  }

 private:
  struct Counted final : Document {
    Counted(std::unique_ptr<Document> document_, int64_t& count_) : document(std::move(document_)), count(count_) {
      ++count;
    }
    ~Counted() override { --count; }
    std::unique_ptr<Document> document;
    int64_t& count;
  };

  void check(int64_t wanted, int64_t most) const {
    if (room_.is_lost) throw DeviceError("cuda:0", /*is_lost=*/true, "it fell off the bus");
    if (wanted > most) throw OutOfMemory("it is full", "cuda:0");
  }

  const std::unique_ptr<BartEngine> engine_;
  const Room& room_;  // As it is at the moment.
  int64_t documents_ = 0;
};

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
    BartBatch batch(engine(), {.max_tokens = 40});
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
  const uint64_t one = bart_.model.document_bytes(20, {.max_rows = 2, .max_positions = 9}) + bart_.model.step_bytes(2);
  BartBatch batch(engine(), {.max_bytes = 2 * one + bart_.model.encode_bytes(40)});
  for (int i = 0; i < 5; ++i) batch.add(ids, plan);
  EXPECT_EQ(batch.step().size(), 2u);

  const uint64_t too_few = one + bart_.model.encode_bytes(20) - 1;
  BartBatch small(engine(), {.max_bytes = too_few});
  EXPECT_THAT([&] { small.add(ids, plan); },
              testing::ThrowsMessage<OutOfMemory>(HasSubstr("leaves " + std::to_string(too_few) + " bytes")));
  EXPECT_TRUE(small.finished());
}

TEST_P(BartBatchTest, FewerRunAtOnceWhereAGpuHasNoMemoryForMore) {
  const std::vector<Request> all = requests();
  const std::vector<std::vector<Hypothesis>> wanted = run(all, {}, bart_.pool);
  for (const EngineWithoutMemory::Room& room :
       std::vector<EngineWithoutMemory::Room>{{.documents = 1}, {.documents = 5}, {.stepped = 1}, {.stepped = 3}}) {
    EXPECT_EQ(run(std::make_unique<EngineWithoutMemory>(engine(), room), all, {}), wanted)
        << room.documents << ", " << room.stepped;
  }
}

TEST_P(BartBatchTest, MemoryThatGoesAndComesChangesNoResult) {
  const std::vector<Request> all = requests();
  EngineWithoutMemory::Room room;
  BartBatch batch(std::make_unique<EngineWithoutMemory>(engine(), room), {});
  for (const Request& request : all) batch.add(request.ids, request.plan);
  EXPECT_EQ(batch.step().size(), all.size());
  room.stepped = 2;
  const size_t fewer = batch.step().size();
  EXPECT_GE(fewer, 1u);
  EXPECT_LE(fewer, 2u);
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_NE(batch.search(static_cast<int64_t>(i)), nullptr) << "what there was of those that wait again";
  }
  room = {};
  size_t most = 0;
  while (!batch.finished()) most = std::max(most, batch.step().size());
  EXPECT_GT(most, fewer) << "it is tried whether there is room again";
  const std::vector<std::vector<Hypothesis>> wanted = run(all, {}, bart_.pool);
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(batch.search(static_cast<int64_t>(i))->results(), wanted[i]);
  }
}

TEST_P(BartBatchTest, AGpuThatHasNoRoomForOneOrIsLostIsNoDocumentsError) {
  const std::vector<Request> all = requests();
  EngineWithoutMemory::Room room;
  const auto expect_thrown = [&](BartBatch& batch, bool lost) {
    try {
      batch.step();
      FAIL();
    } catch (const OutOfMemory& error) {
      EXPECT_FALSE(lost);
      EXPECT_EQ(error.device(), "cuda:0");
    } catch (const DeviceError&) {
      EXPECT_TRUE(lost);
    }
  };
  for (const EngineWithoutMemory::Room& failing :
       std::vector<EngineWithoutMemory::Room>{{.documents = 0}, {.stepped = 0}, {.is_lost = true}}) {
    room = {};
    BartBatch batch(std::make_unique<EngineWithoutMemory>(engine(), room), {});
    for (const bool is_encoded : {false, true}) {
      if (is_encoded && failing.documents == 0) continue;
      room = {};
      const int64_t first = batch.add(all[4].ids, all[4].plan);
      const int64_t second = batch.add(all[3].ids, all[3].plan);
      if (is_encoded) batch.step();
      room = failing;
      expect_thrown(batch, failing.is_lost);
      batch.forget(first);
      batch.forget(second);
      EXPECT_TRUE(batch.finished());
    }
    room = {};
    const int64_t again = batch.add(all[2].ids, all[2].plan);
    while (!batch.finished()) batch.step();
    EXPECT_EQ(batch.search(again)->results(), run({all[2]}, {}, bart_.pool)[0]) << "of use when there is room";
  }
}

}  // namespace
}  // namespace remuda::models
