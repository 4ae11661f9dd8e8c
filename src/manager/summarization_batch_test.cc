// What becomes of documents that a GPU could not finish.
#include "manager/summarization_batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "device/compute_pool.h"
#include "manager/gpu_test_support.h"
#include "manager/random_bart.h"
#include "manager/summarization_model.h"
#include "models/bart_directory.h"
#include "remuda/error.h"
#include "remuda/summarization_model_manager.h"

namespace remuda {
namespace {

std::exception_ptr lost() {
  return std::make_exception_ptr(DeviceError("cuda:0", /*is_lost=*/true, "it fell off the bus"));
}

// Three documents, and what their caller is told.
class ToldText : public ::testing::Test {
 protected:
  ToldText() {
    SummarizeOptions options;
    options.on_text = [this](int64_t document, std::string_view text) { told_[static_cast<size_t>(document)] += text; };
    const TokenizedDocument document{.ids = {5, 11, 7}, .total_tokens = 3};
    request_ =
        std::make_unique<SummarizationRequest>(nullptr, std::vector(3, document), nullptr, options, Deadline::never());
  }

  void add_text(int64_t document, const std::string& text) {
    request_->add_text(document, text);
    request_->collect_news();
    request_->deliver_news();
  }

  std::unique_ptr<SummarizationRequest> request_;
  std::vector<std::string> told_ = std::vector<std::string>(3);
};

TEST_F(ToldText, IsNotToldAgainWhenADocumentIsDecodedAgain) {
  request_->take_next();
  add_text(0, "The herd");
  add_text(0, " waits");
  for (int i = 0; i < 2; ++i) {
    request_->give_back(0, lost());
    EXPECT_EQ(request_->next_number(), 0);
    request_->take_next();
    add_text(0, "The ");
    add_text(0, "herd wa");
    EXPECT_EQ(told_[0], "The herd waits");
  }
  add_text(0, "its at");
  add_text(0, " dawn.");
  request_->set_results(0, {{.text = "The herd waits at dawn.", .ids = {}}});
  EXPECT_EQ(told_[0], "The herd waits at dawn.");
  EXPECT_EQ(request_->error(), nullptr);
}

TEST_F(ToldText, IsAnErrorWhereTheNewSummaryIsAnother) {
  request_->take_next();
  add_text(0, "The herd");
  request_->give_back(0, lost());
  request_->take_next();
  add_text(0, "The horse");
  EXPECT_THROW(std::rethrow_exception(request_->error()), DeviceError);
  EXPECT_EQ(told_[0], "The herd");
}

TEST_F(ToldText, IsAnErrorWhereTheNewSummaryEndsBefore) {
  request_->take_next();
  add_text(0, "The herd");
  request_->give_back(0, lost());
  request_->take_next();
  add_text(0, "The");
  request_->set_results(0, {{.text = "The", .ids = {}}});
  EXPECT_THROW(std::rethrow_exception(request_->error()), DeviceError);
}

TEST_F(ToldText, DocumentsThatWaitAgainAreTakenInTheirOrder) {
  for (int i = 0; i < 3; ++i) request_->take_next();
  EXPECT_FALSE(request_->has_waiting());
  request_->give_back(2, lost());
  request_->give_back(0, lost());
  EXPECT_EQ(request_->next_number(), 0);
  EXPECT_EQ(request_->next().ids, (std::vector<int32_t>{5, 11, 7}));
  request_->take_next();
  EXPECT_EQ(request_->next_number(), 2);
}

// An instance on a GPU, and calls that wait for it.
class SummarizationBatchTest : public GpuTest {
 protected:
  std::shared_ptr<SummarizationRequest> add() {
    SummarizeOptions options;
    options.partial = true;
    const text::Tokenizer& tokenizer = *lease_->model().tokenizer;
    const std::vector<std::string> texts = {"one two three"};
    const models::BartDirectory directory = models::read_bart_directory(model_.path());
    const ReadingOptions reading = {.max_tokens = 20, .vocab_size = directory.config.vocab_size};
    auto request = std::make_shared<SummarizationRequest>(
        lease_->model().tokenizer, tokenize_documents(tokenizer, texts, reading, ComputePool::global()),
        models::make_plan(directory, {}), options, Deadline::never());
    queue_.push(request);
    return request;
  }
  void take_all(SummarizationBatch& batch) {
    queue_.begin_batch();
    batch.take(queue_, changed_);
    EXPECT_TRUE(queue_.empty());
  }

  const RandomBart model_{{.hidden = 32, .encoder_inner = 64, .decoder_inner = 64, .vocabulary = 250, .length = 12}};
  SummarizationModelManager manager_{[this] {
    Settings settings;
    settings.summarization_model = model_.path();
    settings.device = "cuda:0";
    return settings;
  }()};
  const Lease<SummarizationInstance> lease_ = manager_.acquire();
  RequestQueue queue_;
  BatchSession::Requests changed_;
};

TEST_F(SummarizationBatchTest, OneThatBeginsOnAGpuThatIsLostSaysSoWhenItComputes) {
  const auto request = add();
  lose_described(backend_, 0);
  SummarizationBatch batch(lease_->model(), {.device = "cuda:0"});
  take_all(batch);
  EXPECT_EQ(request->error(), nullptr);
  batch.step();
  ASSERT_NE(batch.place_error(), nullptr);
  EXPECT_THROW(std::rethrow_exception(batch.place_error()), DeviceError);
  EXPECT_THAT(batch.take_back(), testing::ElementsAre(request));
}

TEST_F(SummarizationBatchTest, OfAGpuThatIsLostAllIsGivenBackAndWhatEndedKeepsWhatThereIs) {
  const auto ended = add();
  const auto goes_on = add();
  SummarizationBatch batch(lease_->model(), {.device = "cuda:0"});
  take_all(batch);
  for (int i = 0; i < 4; ++i) {
    batch.step();
    ASSERT_EQ(batch.place_error(), nullptr);
    batch.settle(changed_);
  }
  ended->end_early();
  lose_described(backend_, 0);
  batch.step();
  ASSERT_NE(batch.place_error(), nullptr);
  EXPECT_THAT(batch.take_back(), testing::UnorderedElementsAre(ended, goes_on));
  EXPECT_EQ(batch.place_error(), nullptr);
  EXPECT_TRUE(batch.is_idle());

  EXPECT_TRUE(ended->is_done());
  EXPECT_EQ(ended->error(), nullptr);
  const std::vector<Summary> partial = ended->take_summaries();
  EXPECT_GT(partial.at(0).best.ids.size(), 2u);
  EXPECT_FALSE(partial.at(0).best.complete);
  EXPECT_TRUE(goes_on->has_waiting());
  EXPECT_FALSE(goes_on->is_done());
}

}  // namespace
}  // namespace remuda
