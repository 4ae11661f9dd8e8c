// Chains in the layouts that versions of sentence-transformers have written since 2019.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log_test_support.h"
#include "base/scratch_directory.h"
#include "io/model_directory.h"
#include "remuda/error.h"

namespace remuda::io {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

constexpr const char* kBert =
    R"({"model_type":"bert","vocab_size":100,"hidden_size":8,"num_hidden_layers":2,"num_attention_heads":2,)"
    R"("intermediate_size":16,"max_position_embeddings":64)";

class ModuleChainTest : public ::testing::Test {
 protected:
  void SetUp() override {
    write("config.json", std::string(kBert) + "}");
    write("1_Pooling/config.json", R"({"word_embedding_dimension":8})");
  }

  void write(const std::string& name, const std::string& content) { path_.write(name, content); }
  // Class names of sentence_transformers.models and directories.
  void chain(const std::vector<std::pair<std::string, std::string>>& modules) {
    std::string json;
    for (const auto& [type, directory] : modules) {
      json += (json.empty() ? "[" : ",") + (R"({"type":"sentence_transformers.models.)" + type) + R"(","path":")" +
              directory + "\"}";
    }
    write("modules.json", json + "]");
  }
  EmbeddingPipeline read() const { return read_model_directory(path_.path()).pipeline; }
  std::string refusal() const {
    try {
      read_model_directory(path_.path());
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

  const ScratchDirectory path_;
};

TEST_F(ModuleChainTest, RunsModulesInAnyOrder) {
  chain({{"Transformer", ""},
         {"WeightedLayerPooling", "0"},
         {"CNN", "1_CNN"},
         {"Dense", "tokens"},
         {"Pooling", "1_Pooling"},
         {"Normalize", "4_Normalize"},
         {"Dropout", "5_Dropout"},
         {"LayerNorm", "6_LayerNorm"},
         {"Dense", "sentence"},
         {"Normalize", "8"},
         {"Normalize", "9"}});
  write("config.json", std::string(kBert) + R"(,"output_hidden_states":true})");
  write("0/config.json", R"({"word_embedding_dimension":8,"layer_start":1,"num_hidden_layers":2})");
  write("1_CNN/cnn_config.json", R"({"in_word_embedding_dimension":8,"out_channels":5,"kernel_sizes":[1,3]})");
  write("tokens/config.json", R"({"in_features":10,"out_features":6,"module_input_name":"token_embeddings"})");
  write("6_LayerNorm/config.json", R"({"dimension":6})");
  write("sentence/config.json", R"({"in_features":6,"out_features":3,"use_residual":true})");
  const EmbeddingPipeline pipeline = read();
  ASSERT_EQ(pipeline.modules.size(), 9u) << "dropout does nothing outside training";
  const auto& layers = std::get<LayerPoolingConfig>(pipeline.modules[0]);
  EXPECT_EQ(layers.first_layer, 1);
  EXPECT_EQ(layers.num_layers, 2);
  EXPECT_THAT(std::get<CnnConfig>(pipeline.modules[1]).kernel_sizes, ElementsAre(1, 3));
  EXPECT_EQ(std::get<DenseConfig>(pipeline.modules[2]).features, Features::kTokens);
  EXPECT_EQ(std::get<LayerNormConfig>(pipeline.modules[5]).dimension, 6);
  EXPECT_TRUE(std::get<DenseConfig>(pipeline.modules[6]).residual);
  EXPECT_EQ(pipeline.dimension, 3);
  EXPECT_FALSE(plain_chain(pipeline));

  // As sentence-transformers has it: the layers' outputs aren't there.
  write("config.json", std::string(kBert) + "}");
  EXPECT_EQ(read().modules.size(), 8u);
}

TEST_F(ModuleChainTest, CallsOldTransformersByTheirName) {
  for (const char* name : {"BERT", "RoBERTa", "DistilBERT", "XLMRoBERTa", "CamemBERT"}) {
    chain({{name, "0_Transformer"}, {"Pooling", "1_Pooling"}});
    write("0_Transformer/config.json", std::string(kBert) + "}");
    write("0_Transformer/sentence_xlnet_config.json", R"({"max_seq_length":20,"do_lower_case":false})");
    EXPECT_EQ(read().max_seq_length, 20) << name;
  }
}

TEST_F(ModuleChainTest, TakesEveryNameOfTheTransformersFile) {
  chain({{"Transformer", ""}, {"Pooling", "1_Pooling"}});
  int64_t length = 10;
  // From the last to the first, each of which outweighs those before.
  for (const char* name : {"xlnet", "xlm-roberta", "albert", "camembert", "distilbert", "roberta", "bert"}) {
    write(std::string("sentence_") + name + "_config.json", fmt::format(R"({{"max_seq_length":{}}})", ++length));
    EXPECT_EQ(read().max_seq_length, length) << name;
  }
  write("sentence_bert_config.json", "{}");
  EXPECT_EQ(read().max_seq_length, length - 1) << "one that is empty doesn't count";
}

TEST_F(ModuleChainTest, DoesNotCheckWhatNobodyUses) {
  chain({{"Transformer", ""}, {"Pooling", "1_Pooling"}});
  write("1_Pooling/config.json", R"({"word_embedding_dimension":768,"pooling_mode_mean_tokens":true})");
  write("sentence_bert_config.json", R"({"max_seq_length":32})");
  write("config.json", std::string(kBert) + R"(,"pad_token_id":-1,"hidden_dropout_prob":NaN,"dtype":"int3",)" +
                           R"("is_encoder_decoder":true,"id2label":[]})");
  for (const char* length : {"-1", "0", "512.0", "\"512\"", "null", "1e30", "1000000000000000019884624838656"}) {
    write("tokenizer_config.json", std::string(R"({"model_max_length":)") + length + "}");
    EXPECT_EQ(read().max_seq_length, 32) << length;
  }
  write("sentence_bert_config.json", R"({"max_seq_length":null})");
  write("tokenizer_config.json", R"({"max_len":24})");
  EXPECT_EQ(read().max_seq_length, 24);
  write("sentence_bert_config.json", R"({"max_seq_length":32.0,"tokenizer_args":{"model_max_length":16}})");
  EXPECT_EQ(read().max_seq_length, 16) << "the tokenizer's own argument outweighs it";
  EXPECT_EQ(read().transformer.tokenizer_overrides, R"({"model_max_length":16})");
  write("sentence_bert_config.json",
        R"({"processor_kwargs":{"do_lower_case":false,"extra_special_tokens":["<\"a\\\n>",null],"x":{"y":1.5}}})");
  EXPECT_EQ(read().transformer.tokenizer_overrides,
            R"({"do_lower_case":false,"extra_special_tokens":["<\"a\\\u000a>",null],"x":{"y":1.5}})");
  write("sentence_bert_config.json", R"({"max_seq_length":-1})");
  EXPECT_THAT(refusal(), HasSubstr("sentence_bert_config.json: max_seq_length: expected a number of tokens"));
}

TEST_F(ModuleChainTest, LetsArgumentsOutweighConfigJson) {
  chain({{"Transformer", ""}, {"Pooling", "1_Pooling"}});
  write("sentence_bert_config.json", R"({"config_args":{"hidden_act":"relu","num_hidden_layers":1}})");
  const EncoderConfig encoder = read_model_directory(path_.path()).encoder;
  EXPECT_EQ(encoder.hidden_act, "relu");
  EXPECT_EQ(encoder.num_layers, 1);
}

TEST_F(ModuleChainTest, ReadsPromptsAndSettings) {
  EXPECT_THAT(read().prompts, ElementsAre(Pair("document", ""), Pair("query", "")));
  write("config_sentence_transformers.json", R"({"prompts":{"query":"q: ","s2s":null},"default_prompt_name":"s2s"})");
  EXPECT_THAT(read().prompts, ElementsAre(Pair("document", ""), Pair("query", ""))) << "without modules.json";
  chain({{"Transformer", ""}, {"Pooling", "1_Pooling"}});
  EXPECT_THAT(read().prompts, ElementsAre(Pair("document", ""), Pair("query", "q: "), Pair("s2s", "")));
  EXPECT_EQ(read().default_prompt_name, "s2s");
  write("config_sentence_transformers.json",
        R"({"prompts":null,"default_prompt_name":"query","similarity_fn_name":"dot","truncate_dim":5})");
  const EmbeddingPipeline pipeline = read();
  EXPECT_EQ(pipeline.default_prompt_name, "query");
  EXPECT_EQ(pipeline.similarity, "dot");
  EXPECT_EQ(pipeline.dimension, 5);
  EXPECT_FALSE(plain_chain(pipeline));
  write("config_sentence_transformers.json", R"({"truncate_dim":500,"similarity_fn_name":"maxsim"})");
  EXPECT_EQ(read().dimension, 8);
  EXPECT_EQ(read().similarity, "cosine");
  write("config_sentence_transformers.json", R"({"truncate_dim":0})");
  EXPECT_THAT(refusal(), HasSubstr("truncate_dim: expected what leaves at least one number"));
  write("config_sentence_transformers.json", R"({"truncate_dim":-3})");
  EXPECT_EQ(read().dimension, 5);
}

TEST_F(ModuleChainTest, FollowsTheDefaultRoute) {
  chain({{"Transformer", ""}, {"Pooling", "1_Pooling"}, {"Router", "2_Router"}});
  const std::string types = R"("types":{"q_Dense":"sentence_transformers.base.modules.dense.Dense",)"
                            R"("d_Dense":"sentence_transformers.models.Dense.Dense"},)"
                            R"("structure":{"query":["q_Dense"],"document":["d_Dense"]},)";
  write("2_Router/q_Dense/config.json", R"({"in_features":8,"out_features":4})");
  write("2_Router/d_Dense/config.json", R"({"in_features":8,"out_features":5})");
  write("2_Router/router_config.json", "{" + types + R"("parameters":{"default_route":"document"}})");
  EXPECT_EQ(read().dimension, 5);
  write("2_Router/router_config.json", "{" + types + R"("parameters":{"default_route":null}})");
  EXPECT_EQ(read().dimension, 4) << "the first route";
  write("2_Router/router_config.json",
        "{" + types + R"x("parameters":{"route_mappings":{"(None, 'text')":"document"}}})x");
  EXPECT_EQ(read().dimension, 5);
  write("2_Router/router_config.json", "{" + types + R"("parameters":{"allow_empty_key":false}})");
  EXPECT_THAT(refusal(), HasSubstr("default_route"));
}

TEST_F(ModuleChainTest, NamesWhatItCannotRun) {
  for (const char* name : {"LSTM", "WordWeights", "StaticEmbedding"}) {
    chain({{"Transformer", ""}, {"Pooling", "1_Pooling"}, {name, "2"}});
    EXPECT_THAT(refusal(), HasSubstr(std::string("found ") + name));
    chain({{name, ""}, {"Pooling", "1_Pooling"}});
    EXPECT_THAT(refusal(), HasSubstr(std::string("expected a Transformer first, found ") + name));
  }
  chain({{"Transformer", ""}, {"LayerNorm", "1_Pooling"}});
  EXPECT_THAT(refusal(), HasSubstr("a Pooling before"));
  chain({{"Transformer", ""}, {"Pooling", "1_Pooling"}});
  const std::pair<const char*, const char*> files[] = {
      {R"({"transformer_task":"fill-mask"})", "transformer_task: expected feature-extraction"},
      {R"({"module_output_name":"sentence_embedding"})", "module_output_name"},
      {R"({"modality_config":{"text":{"method":"forward","method_output_name":"pooler_output"}}})",
       "method_output_name: expected last_hidden_state"},
      {R"({"tokenizer_name_or_path":"bert-base-uncased"})", "tokenizer_name_or_path"},
      {R"({"processing_kwargs":{"text":{"max_length":8}}})", "processing_kwargs"},
  };
  for (const auto& [file, expected] : files) {
    write("sentence_bert_config.json", file);
    EXPECT_THAT(refusal(), HasSubstr(expected)) << file;
  }
}

TEST_F(ModuleChainTest, MpnetStartsAtTwoAndRobertaBehindItsPadding) {
  const auto first_position = [&](const std::string& type, const std::string& more) {
    std::string json = kBert;
    json.replace(json.find("bert"), 4, type);
    write("config.json", json + more + "}");
    return read_model_directory(path_.path()).encoder.first_position;
  };
  EXPECT_EQ(first_position("mpnet", R"(,"pad_token_id":5)"), 2);
  EXPECT_EQ(first_position("mpnet", R"(,"pad_token_id":0)"), 2);
  EXPECT_EQ(first_position("roberta", R"(,"pad_token_id":5)"), 6);
  EXPECT_EQ(first_position("roberta", R"(,"pad_token_id":-1)"), 0);
  EXPECT_EQ(first_position("bert", R"(,"pad_token_id":5)"), 0);
}

TEST_F(ModuleChainTest, TakesTransformersDefaultsForFieldsThatAreMissing) {
  write("config.json", R"({"model_type":"distilbert","layer_norm_eps":0.5})");
  const EncoderConfig encoder = read_model_directory(path_.path()).encoder;
  EXPECT_EQ(encoder.hidden_size, 768);
  EXPECT_EQ(encoder.num_layers, 6);
  EXPECT_EQ(encoder.intermediate_size, 3072);
  EXPECT_EQ(encoder.layer_norm_eps, 1e-12) << "DistilBERT has no other";
}

TEST_F(ModuleChainTest, WarnsOnceOfKeysThatItDoesNotKnow) {
  chain({{"Transformer", ""}, {"Pooling", "1_Pooling"}, {"Dense", "2_Dense"}});
  write("1_Pooling/config.json", R"({"embedding_dimension":8,"pooling_mode_attention":true})");
  write("2_Dense/config.json", R"({"in_features":8,"out_features":8,"activation_function":"their.Code","dropout":1})");
  const LoggedLines lines;
  for (int i = 0; i < 3; ++i) read();
  EXPECT_EQ(lines.count("1_Pooling/config.json: pooling_mode_attention: unknown"), 1);
  EXPECT_EQ(lines.count("2_Dense/config.json: dropout: unknown"), 1);
  EXPECT_EQ(lines.count("\"their.Code\" is not torch's"), 1);
  EXPECT_EQ(lines.all().size(), 3u);
}

TEST_F(ModuleChainTest, PoolsTheLastTokenOfACausalModel) {
  const auto mode = [&](const std::string& more) {
    write("config.json", kBert + more + "}");
    return plain_chain(read())->pooling.modes[0];
  };
  EXPECT_EQ(mode(R"(,"architectures":["BertForMaskedLM"])"), PoolingMode::kMean);
  EXPECT_EQ(mode(R"(,"architectures":["RobertaForCausalLM"])"), PoolingMode::kLastToken);
  EXPECT_EQ(mode(R"(,"architectures":["RobertaForCausalLM"],"is_causal":false)"), PoolingMode::kMean);
}

}  // namespace
}  // namespace remuda::io
