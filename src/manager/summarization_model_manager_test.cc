#include "remuda/summarization_model_manager.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <set>
#include <thread>

#include "manager/summarization_test_support.h"
#include "remuda/error.h"

namespace remuda {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

const std::vector<std::string> kTexts = {
    "The herd waits at dawn.",
    "A remuda is a herd of saddle horses from which ranch hands choose their mounts for the day.",
    "Bread rises because yeast ferments sugar.",
    "one two three four five six seven eight nine ten eleven twelve",
    "The stock market fell, then it rose; nobody knew why.",
    "Ähren, Öl und Übermut."};

std::vector<TokenIds> ids_of(const std::vector<Summary>& summaries) {
  std::vector<TokenIds> ids;
  for (const Summary& summary : summaries) ids.push_back(summary.best.ids);
  return ids;
}

class SummarizationModelManagerTest : public ::testing::Test {
 protected:
  template <typename ErrorType = Error>
  void expect_refused(const SummarizeOptions& options, const std::string& message) {
    EXPECT_THAT([&] { manager_.summarize(kTexts, options); }, testing::ThrowsMessage<ErrorType>(HasSubstr(message)));
    EXPECT_EQ(manager_.get_pool_stats().in_use, 0);
  }

  const SmallBart bart_;
  SummarizationModelManager manager_{bart_.settings()};
};

TEST_F(SummarizationModelManagerTest, TheSameTextGivesTheSameIdsInAnyCompany) {
  std::vector<TokenIds> alone;
  for (const std::string& text : kTexts) alone.push_back(manager_.summarize({&text, 1})[0].best.ids);
  EXPECT_GT(std::set(alone.begin(), alone.end()).size(), 3u) << "summaries that are all alike would show nothing";
  for (const int64_t max_batch_tokens : {1, 200, 100'000}) {
    EXPECT_EQ(ids_of(manager_.summarize(kTexts, {.max_batch_tokens = max_batch_tokens})), alone);
  }
  std::vector<std::string> reversed(kTexts.rbegin(), kTexts.rend());
  EXPECT_EQ(ids_of(manager_.summarize(reversed)), std::vector(alone.rbegin(), alone.rend()));

  std::atomic<int> equal = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      const auto lease = manager_.acquire({.timeout = 60s});
      for (int round = 0; round < 3; ++round) equal += ids_of(manager_.summarize(kTexts, *lease)) == alone;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(equal, 12);
}

TEST_F(SummarizationModelManagerTest, SaysWhatWasReadAndWritten) {
  const std::vector<Summary> found = manager_.summarize(kTexts, {.max_input_tokens = 10});
  for (const Summary& summary : found) {
    EXPECT_TRUE(summary.best.complete);
    EXPECT_TRUE(summary.others.empty());
    EXPECT_EQ(summary.best.ids.front(), 9);
    EXPECT_LE(summary.output_tokens(), 20);
    EXPECT_EQ(summary.truncated(), summary.input_tokens > 10);
    EXPECT_EQ(summary.used_tokens, std::min<int64_t>(summary.input_tokens, 10));
  }
  EXPECT_TRUE(found[1].truncated());
  EXPECT_FALSE(manager_.summarize(kTexts)[0].truncated());
  EXPECT_EQ(manager_.summarize_texts(kTexts)[1], manager_.summarize_text(kTexts[1]));
  const auto lease = manager_.acquire();
  EXPECT_EQ(manager_.summarize_text(kTexts[1], *lease), manager_.summarize(kTexts)[1].best.text);
  EXPECT_EQ(lease->metadata().model_type, "summarization");
}

TEST_F(SummarizationModelManagerTest, ManySequencesComeBestFirst) {
  const std::vector<Summary> found =
      manager_.summarize(kTexts, {.generation = {.num_beams = 4, .num_return_sequences = 3}});
  for (const Summary& summary : found) {
    ASSERT_EQ(summary.others.size(), 2u);
    EXPECT_GE(summary.best.score, summary.others[0].score);
    EXPECT_GE(summary.others[0].score, summary.others[1].score);
    EXPECT_NE(summary.others[0].ids, summary.others[1].ids);
  }
  EXPECT_EQ(ids_of(found), ids_of(manager_.summarize(kTexts)));
}

TEST_F(SummarizationModelManagerTest, EmptyDocumentsHaveEmptySummaries) {
  const std::vector<std::string> texts = {"", kTexts[0], " \t\n", "\u3000"};
  const std::vector<Summary> found = manager_.summarize(texts);
  for (const size_t i : {0, 2, 3}) {
    EXPECT_EQ(found[i].best.text, "");
    EXPECT_TRUE(found[i].best.ids.empty());
    EXPECT_TRUE(found[i].best.complete);
    EXPECT_EQ(found[i].input_tokens, 0);
  }
  EXPECT_EQ(found[1].best.text, manager_.summarize_text(kTexts[0]));
  EXPECT_TRUE(manager_.summarize(std::vector<std::string>{}).empty());
}

TEST_F(SummarizationModelManagerTest, StreamedTextIsTheSummary) {
  for (const GenerationOptions& generation :
       {GenerationOptions{}, GenerationOptions{.num_beams = 1}, GenerationOptions{.num_beams = 1, .do_sample = true}}) {
    std::map<int64_t, std::string> streamed;
    std::map<int64_t, int> pieces;
    SummarizeOptions options{.generation = generation};
    options.on_text = [&](int64_t document, std::string_view text) {
      streamed[document] += text;
      ++pieces[document];
    };
    const std::vector<Summary> found = manager_.summarize(kTexts, options);
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(streamed[static_cast<int64_t>(i)], found[i].best.text);
      EXPECT_GT(pieces[static_cast<int64_t>(i)], generation.num_beams == 1 ? 3 : 0);
    }
  }
}

TEST_F(SummarizationModelManagerTest, ASeedGivesTheSameSampleAgain) {
  const SummarizeOptions options{.generation = {.num_beams = 1, .do_sample = true, .seed = 7}};
  const auto first = ids_of(manager_.summarize(kTexts, options));
  EXPECT_EQ(ids_of(manager_.summarize(kTexts, options)), first);
  SummarizeOptions other = options;
  other.generation.seed = 8;
  EXPECT_NE(ids_of(manager_.summarize(kTexts, other)), first);
}

TEST_F(SummarizationModelManagerTest, CancelledBetweenStepsItThrowsOrGivesWhatThereIs) {
  int asked = 0;
  SummarizeOptions options;
  options.cancelled = [&asked] { return ++asked > 3; };
  expect_refused(options, "cancelled");
  EXPECT_EQ(asked, 4);

  asked = 0;
  options.partial = true;
  const std::vector<Summary> found = manager_.summarize(kTexts, options);
  ASSERT_EQ(found.size(), kTexts.size());
  for (const Summary& summary : found) {
    EXPECT_FALSE(summary.best.complete);
    EXPECT_EQ(summary.output_tokens(), 4) << "the start token and three steps";
  }
}

TEST_F(SummarizationModelManagerTest, ADeadlineEndsTheCall) {
  manager_.warm_up();
  SummarizeOptions options{.timeout = 0ns};
  expect_refused<TimeoutError>(options, "");
  const auto lease = manager_.acquire();
  EXPECT_THROW(manager_.summarize(kTexts, *lease, options), TimeoutError);
  options.partial = true;
  for (const Summary& summary : manager_.summarize(kTexts, *lease, options)) {
    EXPECT_FALSE(summary.best.complete);
    EXPECT_EQ(summary.best.text, "");
  }
}

TEST_F(SummarizationModelManagerTest, OptionsThatCannotBeAreRefusedBeforeAnythingIsComputed) {
  expect_refused({.generation = {.num_beams = 0}}, "num_beams");
  expect_refused({.generation = {.num_beams = 204}}, "num_beams");
  expect_refused({.generation = {.max_length = 1}}, "max_length");
  expect_refused({.generation = {.suppress_tokens = TokenIds{203}}}, "suppress_tokens");
  expect_refused({.max_input_tokens = 71}, "max_input_tokens");
  expect_refused({.max_input_tokens = 2}, "max_input_tokens");
  expect_refused({.max_batch_tokens = 0}, "max_batch_tokens");
  EXPECT_EQ(manager_.get_pool_stats().created, 0u);
}

TEST_F(SummarizationModelManagerTest, DocumentsBeyondTheMemoryLimitAreRefusedWithTheFigures) {
  Settings settings = bart_.settings();
  {
    settings.memory_limit = MemoryLimit::parse("10KiB", "memory_limit");
    SummarizationModelManager small(settings);
    EXPECT_THAT([&] { small.warm_up(); }, testing::ThrowsMessage<OutOfMemory>(HasSubstr("10240 bytes")));
  }

  manager_.warm_up();
  const auto weights = manager_.acquire()->metadata().shared_bytes;
  {
    settings.memory_limit = MemoryLimit::parse(std::to_string(weights + 10'000), "memory_limit");
    SummarizationModelManager tight(settings);
    EXPECT_THAT([&] { tight.summarize(kTexts); }, testing::ThrowsMessage<OutOfMemory>(HasSubstr("leaves 10000 bytes")));
  }
  settings.memory_limit = MemoryLimit::parse(std::to_string(weights + 1'000'000), "memory_limit");
  SummarizationModelManager enough(settings);
  EXPECT_EQ(ids_of(enough.summarize(kTexts)), ids_of(manager_.summarize(kTexts)));
}

TEST_F(SummarizationModelManagerTest, InstancesAndManagersShareTheWeights) {
  SummarizationModelManager other(bart_.settings());
  const auto a = manager_.acquire();
  const auto b = manager_.acquire();
  const auto c = other.acquire();
  EXPECT_EQ(&a->model(), &b->model());
  EXPECT_EQ(&a->model(), &c->model());
}

TEST_F(SummarizationModelManagerTest, TheTokenizersLimitNarrowsTheWindow) {
  EXPECT_EQ(manager_.info().window, 70);
  bart_.write("tokenizer_config.json", R"({"model_max_length": 12})");
  SummarizationModelManager narrow(bart_.settings());
  EXPECT_EQ(narrow.info().window, 12);
  EXPECT_EQ(narrow.summarize(kTexts)[1].used_tokens, 12);
}

TEST_F(SummarizationModelManagerTest, InspectingReadsNoWeights) {
  const SummarizationModelInfo info = inspect_summarization_model(bart_.path().string());
  EXPECT_EQ(info.architecture, "bart");
  EXPECT_EQ(info.vocab_size, 203);
  EXPECT_EQ(info.decoder_layers, 3);
  EXPECT_EQ(info.generation.num_beams, 4);
  const MemoryCost cost = estimate_memory(info, Precision::kFp32);
  const auto weights = static_cast<double>(manager_.acquire()->metadata().shared_bytes);
  EXPECT_NEAR(static_cast<double>(cost.shared_weights) / weights, 1, 0.1);
}

class LongDocuments : public SummarizationModelManagerTest {
 protected:
  static std::string book(int sentences) {
    std::string text;
    for (int i = 0; i < sentences; ++i) {
      text += kTexts[static_cast<size_t>(i) % 5];
      text += i % 7 == 6 ? "\n\n" : " ";
    }
    return text;
  }
};

TEST_F(LongDocuments, OneThatFitsIsSummarisedAsItIs) {
  const LongSummary found = manager_.summarize_long(kTexts[0]);
  EXPECT_EQ(found.summary.best.ids, manager_.summarize(kTexts)[0].best.ids);
  ASSERT_EQ(found.parts.size(), 1u);
  EXPECT_EQ(found.parts[0].end, std::ssize(kTexts[0]));
  EXPECT_EQ(found.merges, 0);
}

TEST_F(LongDocuments, PartsCoverEveryByteAndTheirSummariesAreMerged) {
  const std::string text = book(40);
  const LongSummary found = manager_.summarize_long(text);
  ASSERT_GT(found.parts.size(), 3u);
  EXPECT_GE(found.merges, 1);
  EXPECT_EQ(found.parts.front().begin, 0);
  EXPECT_EQ(found.parts.back().end, std::ssize(text));
  for (size_t i = 0; i < found.parts.size(); ++i) {
    const DocumentPart& part = found.parts[i];
    EXPECT_LE(part.begin, i == 0 ? 0 : found.parts[i - 1].end);
    EXPECT_LE(part.tokens, 70);
    const std::string own = text.substr(static_cast<size_t>(part.begin), static_cast<size_t>(part.end - part.begin));
    EXPECT_EQ(part.summary, manager_.summarize_text(own));
  }
  // Parts overlap, and each has special tokens of its own.
  EXPECT_EQ(found.summary.input_tokens, manager_.summarize({&text, 1}).front().input_tokens);
  EXPECT_FALSE(found.summary.truncated());
}

TEST_F(LongDocuments, WhereSummariesAreNoShorterTheyStandAsTheyAre) {
  SummarizeOptions options{.generation = {.max_length = 60, .min_length = 60}};
  std::string streamed;
  options.on_text = [&streamed](int64_t, std::string_view text) { streamed += text; };
  const LongSummary found = manager_.summarize_long(book(10), options, {.part_tokens = 20, .overlap_tokens = 0});
  EXPECT_FALSE(found.merged);
  EXPECT_FALSE(found.summary.best.text.empty());
  EXPECT_EQ(streamed, found.summary.best.text);
}

TEST_F(LongDocuments, ABookOfAMegabyteWorks) {
  SummarizeOptions options{.generation = {.num_beams = 1, .max_length = 5}};
  const std::string text = book(20'000);
  ASSERT_GT(text.size(), 1'000'000u);
  const LongSummary found = manager_.summarize_long(text, options);
  EXPECT_EQ(found.parts.back().end, std::ssize(text));
  EXPECT_TRUE(found.merged);
}

TEST_F(LongDocuments, BadPartsAreRefused) {
  const auto refused = [&](const LongOptions& how, const std::string& message) {
    EXPECT_THAT([&] { manager_.summarize_long("a", {}, how); }, testing::ThrowsMessage<Error>(HasSubstr(message)));
  };
  refused({.part_tokens = 3}, "part_tokens");
  refused({.part_tokens = 71}, "part_tokens");
  refused({.part_tokens = 20, .overlap_tokens = 11}, "overlap_tokens");
  refused({.overlap_tokens = -1}, "overlap_tokens");
}

TEST_F(LongDocuments, TheDeadlineHoldsForAllLevels) {
  manager_.warm_up();
  EXPECT_THROW(manager_.summarize_long(book(5000), {.timeout = 20ms}), TimeoutError);
  EXPECT_EQ(manager_.get_pool_stats().in_use, 0);
}

}  // namespace
}  // namespace remuda
