// Managers of BART directories as people have them: what their files say of generation, and what can't be computed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <numeric>

#include "manager/summarization_test_support.h"
#include "remuda/error.h"
#include "remuda/summarization_model_manager.h"

namespace remuda {
namespace {

using ::testing::HasSubstr;

const std::vector<std::string> kTexts = {
    "The herd waits at dawn.",
    "A remuda is a herd of saddle horses from which ranch hands choose their mounts for the day.",
    "one two three four five six seven eight nine ten eleven twelve", "Ähren, Öl und Übermut."};

std::vector<TokenIds> ids_of(const std::vector<Summary>& summaries) {
  std::vector<TokenIds> ids;
  for (const Summary& summary : summaries) ids.push_back(summary.best.ids);
  return ids;
}

class BartDirectories : public ::testing::Test {
 protected:
  std::string read(const std::string& name) const {
    std::ifstream in(bart_.path() / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void replace(const std::string& name, const std::string& from, const std::string& to) const {
    std::string text = read(name);
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    bart_.write(name, text.replace(at, from.size(), to));
  }
  // Members of an object, with a comma behind them.
  void edit_config(const std::string& members) const { replace("config.json", "{", "{" + members); }
  void replace_in_config(const std::string& from, const std::string& to) const { replace("config.json", from, to); }
  // Gives the vocabulary another token.
  void add_token(const std::string& content, int id) const {
    const std::string text = read("tokenizer.json");
    const size_t vocabulary = text.find('{', text.find("\"vocab\":"));
    bart_.write("tokenizer.json", text.substr(0, vocabulary + 1) + '"' + content + "\": " + std::to_string(id) + ", " +
                                      text.substr(vocabulary + 1));
  }
  // A bias of the output layer that is NaN makes every row of logits have one.
  std::string weights_with_nan() const;

  const SmallBart bart_;
  SummarizationModelManager manager_{bart_.settings()};
};

std::string BartDirectories::weights_with_nan() const {
  std::string bytes = read("model.safetensors");
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof(header));
  const std::string name = "\"final_logits_bias\"";
  const size_t entry = bytes.find(name);
  EXPECT_NE(entry, std::string::npos);
  const size_t offsets = bytes.find("\"data_offsets\":[", entry) + std::strlen("\"data_offsets\":[");
  const size_t begin = sizeof(header) + header + std::stoul(bytes.substr(offsets));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(bytes.data() + begin + 11 * sizeof(float), &nan, sizeof(nan));
  return bytes;
}

TEST_F(BartDirectories, AnOldCheckpointsTaskDefaultsAreReadWhereTheyAreAskedFor) {
  std::filesystem::remove(bart_.path() / "generation_config.json");
  edit_config(R"("num_beams": 2, "prefix": " ",)"
              R"( "task_specific_params": {"summarization": {"num_beams": 3, "max_length": 11, "prefix": "a b "}},)");
  EXPECT_EQ(SummarizationModelManager(bart_.settings()).info().generation.num_beams, 2) << "as generate() has it";
  Settings settings = bart_.settings();
  settings.task_params = true;
  SummarizationModelManager old(settings);
  EXPECT_EQ(old.info().generation.num_beams, 3);
  const auto found = old.summarize(kTexts);
  for (const Summary& summary : found) EXPECT_LE(summary.output_tokens(), 11);
  std::vector<std::string> prefixed;
  for (const std::string& text : kTexts) prefixed.push_back("a b " + text);
  SummarizationModelManager plain(bart_.settings());
  EXPECT_EQ(ids_of(found), ids_of(plain.summarize(prefixed, {.generation = {.num_beams = 3, .max_length = 11}})));
}

TEST_F(BartDirectories, TaskParametersOutweighAGenerationConfig) {
  edit_config(R"("task_specific_params": {"summarization": {"num_beams": 3}},)");
  EXPECT_EQ(SummarizationModelManager(bart_.settings()).info().generation.num_beams, 4);
  EXPECT_EQ(inspect_summarization_model(bart_.path().string(), /*task_params=*/true).generation.num_beams, 3);
}

TEST_F(BartDirectories, AGenerationConfigThatIsNoJsonIsAsIfThereWereNone) {
  bart_.write("generation_config.json", "{\"num_beams\": ");
  edit_config(R"("num_beams": 2,)");
  EXPECT_EQ(SummarizationModelManager(bart_.settings()).info().generation.num_beams, 2);
}

// The tokenizer knows a word more than the model's table has rows for, as bart-large-cnn's knows <mask>.
TEST_F(BartDirectories, ATokenWithoutARowIsItsDocumentsError) {
  const auto without_it = ids_of(manager_.summarize(kTexts));
  add_token("beyond", 203);
  SummarizationModelManager manager(bart_.settings());
  EXPECT_EQ(ids_of(manager.summarize(kTexts)), without_it);
  const std::vector<std::string> texts = {kTexts[0], "a beyond b"};
  const auto is_named =
      testing::ThrowsMessage<Error>(testing::AllOf(HasSubstr("document 1"), HasSubstr("beyond"), HasSubstr("203")));
  EXPECT_THAT([&] { manager.summarize(texts); }, is_named);
  EXPECT_THAT([&] { manager.summarize(texts, *manager.acquire()); }, is_named);
  EXPECT_NO_THROW(inspect_summarization_model(bart_.path().string()));
  // What is cut off isn't read.
  EXPECT_NO_THROW(manager.summarize(std::vector<std::string>{"a b c d e f beyond"}, {.max_input_tokens = 4}));
}

TEST_F(BartDirectories, LogitsThatAreNoNumbersAreTheDocumentsErrorUnlessTheyAreRemoved) {
  bart_.write("model.safetensors", weights_with_nan());
  SummarizationModelManager manager(bart_.settings());
  for (const int64_t beams : {1, 3}) {
    SummarizeOptions options{.generation = {.num_beams = beams, .max_length = 6}};
    EXPECT_THAT([&] { manager.summarize(kTexts, options); },
                testing::ThrowsMessage<Error>(testing::AllOf(HasSubstr("document "), HasSubstr("NaN"))));
    options.generation.remove_invalid_values = true;
    for (const Summary& summary : manager.summarize(kTexts, options)) {
      EXPECT_TRUE(summary.best.complete);
      EXPECT_LE(summary.output_tokens(), 6);
    }
  }
}

TEST_F(BartDirectories, MinimaAndLengthsThatCannotBeKeptEndTheSummary) {
  bart_.write("generation_config.json",
              R"({"decoder_start_token_id": 9, "eos_token_id": [7], "min_length": 56, "max_length": 4096})");
  SummarizationModelManager manager(bart_.settings());
  for (const Summary& summary : manager.summarize(kTexts, {.generation = {.max_length = 12}})) {
    EXPECT_EQ(summary.output_tokens(), 12);
    EXPECT_TRUE(summary.best.complete);
  }
  SummarizeOptions endless;
  endless.generation.none = {"eos_token_id"};
  for (const Summary& summary : manager.summarize(kTexts, endless)) {
    EXPECT_EQ(summary.output_tokens(), 71) << "one more than positions";
    EXPECT_TRUE(summary.best.complete);
  }
}

TEST_F(BartDirectories, RulesThatLeaveNoTokenEndTheSummary) {
  TokenIds all(203);
  std::iota(all.begin(), all.end(), 0);
  for (const int64_t beams : {1, 4}) {
    const auto found =
        manager_.summarize(kTexts, {.generation = {.num_beams = beams, .max_length = 9, .suppress_tokens = all}});
    for (const Summary& summary : found) EXPECT_TRUE(summary.best.complete);
    // As transformers: greedily the first token over and over, with beams nothing but the start.
    EXPECT_EQ(found.front().output_tokens(), beams == 1 ? 9 : 1);
  }
  for (const Summary& summary : manager_.summarize(kTexts, {.generation = {.num_beams = 4, .length_penalty = -15.0}})) {
    EXPECT_TRUE(summary.best.complete);
  }
}

TEST_F(BartDirectories, InspectingRefusesWhatSummarizingWould) {
  const auto refused = [this](const char* message) {
    EXPECT_THAT([&] { inspect_summarization_model(bart_.path().string()); },
                testing::ThrowsMessage<Error>(HasSubstr(message)));
  };
  bart_.write("generation_config.json", R"({"decoder_start_token_id": 9, "num_beams": "four"})");
  refused("num_beams");
  bart_.write("generation_config.json", R"({"decoder_start_token_id": 9})");
  EXPECT_NO_THROW(inspect_summarization_model(bart_.path().string()));
  edit_config(R"("num_hidden_layers": 4,)");
  refused("layers.");
  std::filesystem::remove(bart_.path() / "tokenizer.json");
  replace_in_config("BartForConditionalGeneration", "BartForSequenceClassification");
  refused("a classifier of texts");
}

}  // namespace
}  // namespace remuda
