#include "io/model_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <functional>

#include "base/scratch_directory.h"
#include "remuda/error.h"

namespace remuda::io {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kBert =
    R"({"model_type":"bert","vocab_size":100,"hidden_size":8,"num_hidden_layers":2,"num_attention_heads":2,)"
    R"("intermediate_size":16,"max_position_embeddings":64)";

constexpr const char* kTransformer = "sentence_transformers.models.Transformer";
constexpr const char* kPooling = "sentence_transformers.sentence_transformer.modules.pooling.Pooling";
constexpr const char* kDense = "sentence_transformers.base.modules.dense.Dense";
constexpr const char* kNormalize = "sentence_transformers.models.Normalize";

class ModelDirectoryTest : public ::testing::Test {
 protected:
  void SetUp() override { write("config.json", std::string(kBert) + "}"); }

  void write(const std::string& name, const std::string& content) { path_.write(name, content); }
  // A modules.json of class paths and directories.
  void chain(const std::vector<std::pair<std::string, std::string>>& modules) {
    std::string json;
    for (const auto& [type, directory] : modules) {
      json += (json.empty() ? "[" : ",") + (R"({"type":")" + type) + R"(","path":")" + directory + "\"}";
    }
    write("modules.json", json + "]");
  }
  void expect_refused(ErrorCode code, const std::vector<std::string>& parts) {
    try {
      read_model_directory(path_.path());
      ADD_FAILURE() << "expected an error with \"" << parts.front() << '"';
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      for (const std::string& part : parts) EXPECT_THAT(error.what(), HasSubstr(part));
    }
  }

  const ScratchDirectory path_;
};

TEST(ModelDirectory, ReadsMiniLm) {
  const char* set = std::getenv("REMUDA_MODELS_DIR");
  const fs::path model = fs::path(set != nullptr ? set : REMUDA_SOURCE_DIR "/models") / "all-MiniLM-L6-v2";
  ASSERT_TRUE(fs::exists(model)) << model << " is missing; run: bash scripts/fetch_model.sh";
  const auto read = read_model_directory(model);
  EXPECT_EQ(read.encoder.num_layers, 6);
  EXPECT_EQ(read.encoder.hidden_size, 384);
  const auto chain = plain_chain(read.pipeline);
  ASSERT_TRUE(chain);
  EXPECT_THAT(chain->pooling.modes, ElementsAre(PoolingMode::kMean));
  EXPECT_TRUE(chain->normalize);
  EXPECT_EQ(read.pipeline.max_seq_length, 256);
}

TEST_F(ModelDirectoryTest, ReadsAPlainEncoder) {
  const auto read = read_model_directory(path_.path());
  const auto chain = plain_chain(read.pipeline);
  ASSERT_TRUE(chain);
  EXPECT_THAT(chain->pooling.modes, ElementsAre(PoolingMode::kMean));
  EXPECT_FALSE(chain->normalize);
  EXPECT_EQ(read.pipeline.dimension, 8);
  EXPECT_EQ(read.pipeline.max_seq_length, 64);
}

TEST_F(ModelDirectoryTest, MapsDistilBertAndLeavesMpnetItsPositions) {
  write("config.json",
        R"({"model_type":"distilbert","vocab_size":100,"dim":8,"n_layers":3,"n_heads":4,"hidden_dim":24,)"
        R"("max_position_embeddings":64,"activation":"relu","sinusoidal_pos_embds":false})");
  const auto distil = read_model_directory(path_.path()).encoder;
  EXPECT_EQ(distil.num_layers, 3);
  EXPECT_EQ(distil.intermediate_size, 24);
  EXPECT_EQ(distil.type_vocab_size, 0);
  EXPECT_EQ(distil.hidden_act, "relu");

  std::string mpnet = kBert;
  mpnet.replace(mpnet.find("bert"), 4, "mpnet");
  write("config.json", mpnet + R"(,"relative_attention_num_buckets":32})");
  const auto read = read_model_directory(path_.path());
  EXPECT_EQ(read.encoder.pad_token_id, 1);
  EXPECT_EQ(read.encoder.relative_attention_num_buckets, 32);
  EXPECT_EQ(read.pipeline.max_seq_length, 62);
}

TEST_F(ModelDirectoryTest, StartsThePositionsOfRobertaAndItsKinAfterThePaddingTokens) {
  for (const char* type : {"roberta", "xlm-roberta", "camembert"}) {
    std::string json = kBert;
    json.replace(json.find("bert"), 4, type);
    write("config.json", json + R"(,"type_vocab_size":1})");
    const auto read = read_model_directory(path_.path());
    EXPECT_EQ(read.encoder.model_type, type);
    EXPECT_EQ(read.encoder.first_position, 2) << "the padding token's id is 1 where the file doesn't say";
    EXPECT_EQ(read.encoder.type_vocab_size, 1);
    EXPECT_EQ(read.pipeline.max_seq_length, 62);
    write("config.json", json + R"(,"pad_token_id":5})");
    EXPECT_EQ(read_model_directory(path_.path()).pipeline.max_seq_length, 58);
  }
}

// As sentence-transformers has it: the model's own limit, else the tokenizer's, and never more than there are
// positions.
TEST_F(ModelDirectoryTest, FindsTheLimitOfTexts) {
  std::string json = kBert;
  write("config.json", json.replace(json.find("bert"), 4, "roberta") + "}");
  const auto limit = [&] { return read_model_directory(path_.path()).pipeline.max_seq_length; };
  write("tokenizer_config.json", R"({"model_max_length":1000000000000000019884624838656})");
  EXPECT_EQ(limit(), 62);
  write("tokenizer_config.json", R"({"model_max_length":63})");
  EXPECT_EQ(limit(), 62);
  write("tokenizer_config.json", R"({"model_max_length":40})");
  EXPECT_EQ(limit(), 40);
  // Beside an encoder alone sentence-transformers doesn't read it.
  write("sentence_bert_config.json", R"({"max_seq_length":50})");
  EXPECT_EQ(limit(), 40);
  chain({{kTransformer, ""}, {kPooling, "1_Pooling"}});
  write("1_Pooling/config.json", "{}");
  EXPECT_EQ(limit(), 50);
  write("sentence_bert_config.json", R"({"max_seq_length":500})");
  EXPECT_EQ(limit(), 62);
}

TEST_F(ModelDirectoryTest, RefusesBadEncoderConfigs) {
  struct Case {
    const char* from;
    const char* to;
    ErrorCode code;
    std::vector<std::string> parts;
  };
  const std::vector<Case> cases = {
      {R"("num_attention_heads":2)",
       R"("num_attention_heads":0)",
       ErrorCode::kInvalidFile,
       {"config.json: num_attention_heads", "0"}},
      {R"("num_attention_heads":2)",
       R"("num_attention_heads":3)",
       ErrorCode::kInvalidFile,
       {"num_attention_heads", "divisor of hidden_size 8", "3"}},
      {R"("num_hidden_layers":2)",
       R"("num_hidden_layers":1000000000000)",
       ErrorCode::kInvalidFile,
       {"num_hidden_layers", "1000000000000"}},
      {R"("hidden_size":8)", R"("hidden_size":"8")", ErrorCode::kInvalidFile, {"hidden_size", "\"8\""}},
      {R"("vocab_size":100)", R"("vocab_size":-1)", ErrorCode::kInvalidFile, {"vocab_size", "-1"}},
      {R"("vocab_size":100)", R"("vocab_size":100,"layer_norm_eps":0)", ErrorCode::kInvalidFile, {"layer_norm_eps"}},
      {R"("vocab_size":100)", R"("vocab_size":100,"layer_norm_eps":NaN)", ErrorCode::kInvalidFile, {"layer_norm_eps"}},
      {R"("bert")", R"("roberta","pad_token_id":100)", ErrorCode::kInvalidFile, {"pad_token_id"}},
      {R"("vocab_size":100)",
       R"("vocab_size":100,"hidden_act":"prelu")",
       ErrorCode::kUnsupported,
       {"hidden_act", "gelu, gelu_python, gelu_new", "prelu"}},
      {R"("vocab_size":100)",
       R"("vocab_size":100,"position_embedding_type":"relative_key")",
       ErrorCode::kUnsupported,
       {"position_embedding_type", "absolute", "relative_key"}},
      {R"("vocab_size":100)", R"("vocab_size":100,"is_decoder":true)", ErrorCode::kUnsupported, {"is_decoder"}},
      {R"("vocab_size":100)",
       R"("vocab_size":100,"add_cross_attention":true)",
       ErrorCode::kUnsupported,
       {"add_cross_attention"}},
      {R"("bert")",
       R"("t5")",
       ErrorCode::kUnsupported,
       {"model_type", "bert, distilbert, mpnet, roberta, xlm-roberta, camembert", "\"t5\""}},
      {R"("bert")",
       R"("roberta","pad_token_id":63)",
       ErrorCode::kInvalidFile,
       {"max_position_embeddings", "more than pad_token_id + 1 = 64", "found 64"}},
      {R"("bert")",
       R"("mpnet","relative_attention_num_buckets":31)",
       ErrorCode::kInvalidFile,
       {"relative_attention_num_buckets", "31"}},
  };
  for (const Case& bad : cases) {
    SCOPED_TRACE(bad.to);
    std::string json = std::string(kBert) + "}";
    json.replace(json.find(bad.from), std::string(bad.from).size(), bad.to);
    write("config.json", json);
    expect_refused(bad.code, bad.parts);
  }
  write("config.json", "{");
  expect_refused(ErrorCode::kInvalidFile, {"config.json"});
  fs::remove(path_.path() / "config.json");
  expect_refused(ErrorCode::kNotFound, {"config.json"});
  fs::remove_all(path_.path());
  expect_refused(ErrorCode::kNotFound, {path_.path().string(), "found nothing"});
}

TEST_F(ModelDirectoryTest, ReadsTheChain) {
  chain({{kTransformer, ""}, {kPooling, "1_Pooling"}, {kDense, "2_Dense"}, {kNormalize, "3_Normalize"}});
  // As flags the modes come in sentence-transformers' order, whatever the file's.
  write("1_Pooling/config.json", R"({"word_embedding_dimension":8,"pooling_mode_mean_tokens":true,)"
                                 R"("pooling_mode_cls_token":true,"include_prompt":false})");
  write("2_Dense/config.json", R"({"in_features":16,"out_features":4,"bias":false,)"
                               R"("activation_function":"torch.nn.modules.linear.Identity"})");
  write("config_sentence_transformers.json", R"({"prompts":{"query":"q: "},"default_prompt_name":"query"})");
  write("sentence_bert_config.json", R"({"max_seq_length":32,"do_lower_case":true})");
  const auto pipeline = read_model_directory(path_.path()).pipeline;
  const auto read = plain_chain(pipeline);
  ASSERT_TRUE(read);
  EXPECT_THAT(read->pooling.modes, ElementsAre(PoolingMode::kCls, PoolingMode::kMean));
  EXPECT_FALSE(read->pooling.include_prompt);
  ASSERT_EQ(read->dense.size(), 1u);
  EXPECT_EQ(read->dense[0].activation, ActivationFunction::kIdentity);
  EXPECT_FALSE(read->dense[0].bias);
  EXPECT_TRUE(read->normalize);
  EXPECT_EQ(pipeline.dimension, 4);
  EXPECT_TRUE(pipeline.do_lower_case);
  EXPECT_EQ(pipeline.max_seq_length, 32);
  EXPECT_EQ(pipeline.default_prompt_name, "query");
  // As a list they come in the file's order.
  write("1_Pooling/config.json", R"({"embedding_dimension":8,"pooling_mode":["mean","cls"]})");
  EXPECT_THAT(plain_chain(read_model_directory(path_.path()).pipeline)->pooling.modes,
              ElementsAre(PoolingMode::kMean, PoolingMode::kCls));
}

TEST_F(ModelDirectoryTest, RefusesBadChains) {
  write("1_Pooling/config.json", R"({"word_embedding_dimension":8,"pooling_mode_mean_tokens":true})");
  chain({{kTransformer, ""}, {kPooling, "1_Pooling"}, {"sentence_transformers.models.LSTM", "2"}});
  expect_refused(ErrorCode::kUnsupported, {"modules.json", "Dense, Normalize", "found LSTM"});
  chain({{kTransformer, ""}, {"their_code.Pooling", "1_Pooling"}});
  expect_refused(ErrorCode::kUnsupported, {"modules.json", "their_code.Pooling"});
  chain({{kTransformer, ""}});
  expect_refused(ErrorCode::kUnsupported, {"modules.json", "a Pooling"});
  for (const std::string directory : {"../elsewhere", "/etc", "a/../../b"}) {
    chain({{kTransformer, ""}, {kPooling, directory}});
    expect_refused(ErrorCode::kInvalidFile, {"modules.json", "inside the model's", directory});
  }
  write("modules.json", "[]");
  expect_refused(ErrorCode::kInvalidFile, {"modules.json", "at least one module"});

  chain({{kTransformer, ""}, {kPooling, "1_Pooling"}, {kDense, "2_Dense"}});
  write("2_Dense/config.json", R"({"in_features":9,"out_features":4})");
  expect_refused(ErrorCode::kInvalidFile, {"2_Dense/config.json: in_features", "8", "9"});
  write("2_Dense/config.json", R"({"in_features":8,"out_features":4,"module_input_name":"cls"})");
  expect_refused(ErrorCode::kUnsupported, {"module_input_name", "token_embeddings", "cls"});
  write("2_Dense/config.json", R"({"in_features":8,"out_features":4,"module_output_name":"token_embeddings"})");
  expect_refused(ErrorCode::kUnsupported, {"module_output_name", "sentence_embedding"});
  write("2_Dense/config.json", R"({"in_features":8,"out_features":4,"activation_function":"torch.nn.GLU"})");
  expect_refused(ErrorCode::kUnsupported, {"activation_function", "Identity, GELU, ReLU", "torch.nn.GLU"});
  write("1_Pooling/config.json", R"({"pooling_mode":"attention"})");
  expect_refused(ErrorCode::kUnsupported, {"pooling_mode", "weightedmean", "attention"});
}

TEST_F(ModelDirectoryTest, RefusesADefaultPromptThatIsNotThere) {
  write("modules.json", R"([{"type":"sentence_transformers.models.Transformer","path":""},)"
                        R"({"type":"sentence_transformers.models.Pooling","path":"1_Pooling"}])");
  write("1_Pooling/config.json", "{}");
  write("config_sentence_transformers.json", R"({"prompts":{"a":"x"},"default_prompt_name":"b"})");
  expect_refused(ErrorCode::kInvalidFile, {"config_sentence_transformers.json: default_prompt_name", "\"b\""});
}

}  // namespace
}  // namespace remuda::io
