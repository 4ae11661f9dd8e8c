#include "io/bart_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "base/scratch_directory.h"
#include "remuda/error.h"

namespace remuda::io {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class BartConfigTest : public ::testing::Test {
 protected:
  // The smallest configuration, with `from` in it replaced by `to`.
  BartConfig read(const std::string& from = "", const std::string& to = "") {
    std::string json =
        R"({"model_type": "bart", "vocab_size": 60, "d_model": 24, "encoder_layers": 3, "decoder_layers": 1,)"
        R"( "encoder_attention_heads": 3, "decoder_attention_heads": 2, "encoder_ffn_dim": 50,)"
        R"( "decoder_ffn_dim": 31, "max_position_embeddings": 40})";
    if (!from.empty()) {
      const size_t at = json.find(from);
      EXPECT_NE(at, std::string::npos) << from;
      json.replace(at, from.size(), to);
    }
    std::ofstream(directory_.path() / "config.json") << json;
    return read_bart_config(directory_.path() / "config.json");
  }
  BartConfig read_with(const std::string& fields) { return read("40}", "40, " + fields + "}"); }

  void expect_refused(ErrorCode code, const std::string& from, const std::string& to, const std::string& message) {
    try {
      read(from, to);
      ADD_FAILURE() << "expected an error with \"" << message << '"';
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      EXPECT_THAT(error.what(), HasSubstr("config.json"));
      EXPECT_THAT(error.what(), HasSubstr(message));
    }
  }

  const ScratchDirectory directory_;
};

TEST_F(BartConfigTest, HasTheDefaultsOfTransformers) {
  const BartConfig config = read();
  EXPECT_EQ(config.encoder_layers, 3);
  EXPECT_EQ(config.decoder_layers, 1);
  EXPECT_EQ(config.encoder_attention_heads, 3);
  EXPECT_EQ(config.decoder_attention_heads, 2);
  EXPECT_EQ(config.encoder_ffn_dim, 50);
  EXPECT_EQ(config.decoder_ffn_dim, 31);
  EXPECT_EQ(config.max_position_embeddings, 40);
  EXPECT_EQ(config.activation_function, "gelu");
  EXPECT_FALSE(config.scale_embedding);
  EXPECT_TRUE(config.tie_word_embeddings);
}

TEST_F(BartConfigTest, ReadsWhatIsThere) {
  const BartConfig config =
      read_with(R"("activation_function": "gelu_fast", "scale_embedding": true, "tie_word_embeddings": false,)"
                R"( "pad_token_id": 4, "bos_token_id": null, "eos_token_id": 6, "decoder_start_token_id": 7,)"
                R"( "normalize_before": false, "normalize_embedding": true, "static_position_embeddings": false)");
  EXPECT_EQ(config.activation_function, "gelu_new");
  EXPECT_TRUE(config.scale_embedding);
  EXPECT_FALSE(config.tie_word_embeddings);
}

TEST_F(BartConfigTest, TakesWhatIsMissingForTheDefaultOfTransformers) {
  std::ofstream(directory_.path() / "config.json") << "{}";
  const BartConfig config = read_bart_config(directory_.path() / "config.json");
  EXPECT_EQ(config.vocab_size, 50265);
  EXPECT_EQ(config.d_model, 1024);
  EXPECT_EQ(config.encoder_layers, 12);
  EXPECT_EQ(config.decoder_layers, 12);
  EXPECT_EQ(config.encoder_attention_heads, 16);
  EXPECT_EQ(config.decoder_attention_heads, 16);
  EXPECT_EQ(config.encoder_ffn_dim, 4096);
  EXPECT_EQ(config.decoder_ffn_dim, 4096);
  EXPECT_EQ(config.max_position_embeddings, 1024);
}

TEST_F(BartConfigTest, OtherNamesOutweighAsInTransformers) {
  const BartConfig config = read_with(R"("num_hidden_layers": 5, "hidden_size": 48, "num_attention_heads": 6)");
  EXPECT_EQ(config.encoder_layers, 5);
  EXPECT_EQ(config.decoder_layers, 1);
  EXPECT_EQ(config.d_model, 48);
  EXPECT_EQ(config.encoder_attention_heads, 6);
  EXPECT_EQ(config.decoder_attention_heads, 2);
}

TEST_F(BartConfigTest, RefusesWhatIsOutOfRange) {
  for (const char* field :
       {"vocab_size", "d_model", "encoder_layers", "decoder_layers", "encoder_attention_heads",
        "decoder_attention_heads", "encoder_ffn_dim", "decoder_ffn_dim", "max_position_embeddings"}) {
    const std::string quoted = '"' + std::string(field) + '"';
    expect_refused(ErrorCode::kInvalidFile, quoted + ": ", quoted + ": 0, \"other\": ", field);
    expect_refused(ErrorCode::kInvalidFile, quoted + ": ", quoted + ": 1e30, \"other\": ", field);
    expect_refused(ErrorCode::kInvalidFile, quoted + ": ", quoted + ": \"x\", \"other\": ", field);
  }
  expect_refused(ErrorCode::kInvalidFile, R"("encoder_attention_heads": 3)", R"("encoder_attention_heads": 5)",
                 "a divisor of d_model 24");
  expect_refused(ErrorCode::kInvalidFile, R"("decoder_attention_heads": 2)", R"("decoder_attention_heads": 7)",
                 "a divisor of d_model 24");
  expect_refused(ErrorCode::kInvalidFile, R"("encoder_attention_heads": 3)", R"("other": 5)",
                 "encoder_attention_heads: expected a divisor of d_model 24");
}

// Only the generation's are used, and those are checked where they are.
TEST_F(BartConfigTest, TokenIdsAreNotChecked) {
  for (const char* ids : {"[2]", "60", "-1", "null", "\"x\""}) {
    for (const char* field : {"pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"}) {
      EXPECT_NO_THROW(read_with('"' + std::string(field) + "\": " + ids)) << field << ' ' << ids;
    }
  }
}

TEST_F(BartConfigTest, FlagsThatTransformersIgnoresRefuseNothing) {
  for (const char* flag :
       {R"("normalize_embedding": false)", R"("normalize_before": true)", R"("add_final_layer_norm": true)",
        R"("add_bias_logits": true)", R"("static_position_embeddings": true)", R"("extra_pos_embeddings": 0)"}) {
    EXPECT_NO_THROW(read_with(flag)) << flag;
  }
}

TEST_F(BartConfigTest, SaysWhatAModelOfAnotherKindIs) {
  expect_refused(ErrorCode::kUnsupported, R"("bart")", R"("mbart")", "an mBART");
  expect_refused(ErrorCode::kUnsupported, R"("bart")", R"("t5")", "a T5");
  expect_refused(ErrorCode::kUnsupported, R"("bart")", R"("bert")", "remuda embed may run");
  expect_refused(ErrorCode::kUnsupported, R"("bart")", R"("llama")", "found \"llama\"");
  expect_refused(ErrorCode::kUnsupported, "40}", R"(40, "is_encoder_decoder": false})", "is_encoder_decoder");
  const auto with = [](const char* name) { return R"(40, "architectures": [")" + std::string(name) + R"("]})"; };
  expect_refused(ErrorCode::kUnsupported, "40}", with("BartForSequenceClassification"), "a classifier of texts");
  expect_refused(ErrorCode::kUnsupported, "40}", with("BartForQuestionAnswering"), "finds answers");
  expect_refused(ErrorCode::kUnsupported, "40}", with("BartForCausalLM"), "BartForCausalLM");
  for (const char* name : {"BartModel", "BartForConditionalGeneration", "MyBart"}) {
    EXPECT_NO_THROW(read("40}", with(name))) << name;
  }
}

}  // namespace
}  // namespace remuda::io
