// Directories with a SentencePiece file: golden ones, and those that are refused.
#include "text/sentencepiece_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log.h"
#include "base/scratch_directory.h"
#include "text/sentencepiece_test_support.h"
#include "text/test_support.h"

namespace remuda::text {
namespace {

using ::testing::HasSubstr;

class SentencePieceFiles : public testing::Test {
 protected:
  void copy(const std::string& golden, const std::string& name) const {
    directory_.write(name, read_sentencepiece_golden(golden));
  }
  void write_class(std::string_view name) const {
    directory_.write("tokenizer_config.json", "{\"tokenizer_class\": \"" + std::string(name) + "\"}");
  }
  Failure load_failure() const {
    return failure_of([&] { Tokenizer::load(directory_.path()); });
  }

  const ScratchDirectory directory_;
};

// A directory of the golden file, written anew.
void write_directory(const JsonValue& golden, const ScratchDirectory& directory) {
  directory.write(std::string(golden.at("file").as_string()),
                  read_sentencepiece_golden(std::string(golden.at("model").as_string()) + ".model"));
  for (const auto& [name, content] : golden.at("files").members()) {
    directory.write(std::string(name), content.as_string());
  }
}

std::string describe(const JsonValue& golden) {
  std::string text = std::string(golden.at("model").as_string()) + " as " + std::string(golden.at("file").as_string());
  for (const auto& [name, content] : golden.at("files").members()) {
    text.append(", ").append(name).append(": ").append(content.as_string());
  }
  return text;
}

TEST_F(SentencePieceFiles, AreTakenAsTransformersTakesThem) {
  const JsonDocument document = JsonDocument::parse_file(sentencepiece_golden_directory() / "cases.json");
  const auto texts = document.root().at("texts").items();
  int compared = 0;
  for (const JsonValue& golden : document.root().at("cases").items()) {
    SCOPED_TRACE(describe(golden));
    const ScratchDirectory directory;
    write_directory(golden, directory);
    const auto ids = golden.find("ids");
    if (!ids) {
      const Failure failure = failure_of([&] { Tokenizer::load(directory.path()); });
      EXPECT_TRUE(failure.code == ErrorCode::kInvalidFile || failure.code == ErrorCode::kUnsupported)
          << failure.message;
      continue;
    }
    const Tokenizer tokenizer = Tokenizer::load(directory.path());
    const auto expected = ids->items();
    const auto decoded = golden.at("decoded").items();
    const auto skipped = golden.at("skipped").items();
    ASSERT_EQ(expected.size(), texts.size());
    for (size_t i = 0; i < texts.size(); ++i) {
      const std::vector<int32_t> wanted = to_ids(expected[i]);
      EXPECT_EQ(tokenizer.encode(texts[i].as_string()).ids, wanted) << texts[i].as_string();
      EXPECT_EQ(tokenizer.decode(wanted), decoded[i].as_string());
      EXPECT_EQ(tokenizer.decode(wanted, DecodeOptions{true, std::nullopt}), skipped[i].as_string());
    }
    ++compared;
  }
  EXPECT_GT(compared, 80);
}

TEST_F(SentencePieceFiles, NeedAClass) {
  copy("unigram.model", "sentencepiece.bpe.model");
  EXPECT_EQ(load_failure().code, ErrorCode::kUnsupported);
  EXPECT_THAT(load_failure().message, HasSubstr("expected a class for sentencepiece.bpe.model: a \"tokenizer_class\""));
  directory_.write("config.json", R"({"model_type": "something"})");
  EXPECT_THAT(load_failure().message, HasSubstr("found neither"));
  write_class("MyOwnTokenizer");
  EXPECT_EQ(load_failure().code, ErrorCode::kUnsupported);
  EXPECT_THAT(load_failure().message, HasSubstr("the tokenizer's class is MyOwnTokenizer"));
  // Uses SentencePiece itself, whose ids aren't those of any conversion.
  write_class("SiglipTokenizer");
  EXPECT_EQ(load_failure().code, ErrorCode::kUnsupported);
}

TEST_F(SentencePieceFiles, AreLookedForByTheClasssName) {
  copy("unigram.model", "spiece.model");
  write_class("XLMRobertaTokenizer");
  EXPECT_EQ(load_failure().code, ErrorCode::kNotFound);
  EXPECT_THAT(load_failure().message, HasSubstr("expected sentencepiece.bpe.model, which XLMRobertaTokenizer reads"));
  copy("unigram.model", "tokenizer.model");
  EXPECT_EQ(Tokenizer::load(directory_.path()).encode("a").ids.front(), 0);
}

TEST_F(SentencePieceFiles, MakeWayForTokenizerJson) {
  copy("unigram.model", "sentencepiece.bpe.model");
  directory_.write("tokenizer.json", R"({"model": {"type": "WordPiece", "unk_token": "u", "vocab": {"u": 0, "a": 1},
                                         "continuing_subword_prefix": "##", "max_input_chars_per_word": 9}})");
  EXPECT_EQ(Tokenizer::load(directory_.path()).vocab_size(), 2);
}

TEST_F(SentencePieceFiles, LowerLettersWhereTheModelIsToldTo) {
  copy("unigram.model", "sentencepiece.bpe.model");
  write_class("XLMRobertaTokenizer");
  const Tokenizer lower = Tokenizer::load(directory_.path(), {.lower_case = true});
  EXPECT_EQ(lower.encode("THE WORLD").ids, Tokenizer::load(directory_.path()).encode("the world").ids);
}

TEST_F(SentencePieceFiles, TakeWhatACallerPutsInTheConfigsPlace) {
  copy("t5.model", "spiece.model");
  directory_.write("tokenizer_config.json",
                   R"({"tokenizer_class": "T5Tokenizer", "extra_ids": 5, "eos_token": "<e>"})");
  const Tokenizer own = Tokenizer::load(directory_.path());
  LoadOptions options;
  options.config_overrides = R"({"extra_ids": 2, "eos_token": "</s>", "extra_special_tokens": ["newword"]})";
  const Tokenizer overridden = Tokenizer::load(directory_.path(), options);
  EXPECT_EQ(own.token_to_id("<extra_id_0>"), *overridden.token_to_id("<extra_id_0>") + 3);
  EXPECT_EQ(own.encode("").ids.front(), own.token_to_id("<e>"));
  EXPECT_EQ(overridden.encode("").ids.front(), 1);
  EXPECT_TRUE(overridden.token_to_id("newword"));
}

// What classes here take is no unknown field.
TEST_F(SentencePieceFiles, KnowTheirClassesFields) {
  static std::string warnings;
  warnings.clear();
  log::set_sink([](log::Level level, std::string_view message) {
    if (level >= log::Level::kWarning) warnings += message;
  });
  copy("unigram.model", "sentencepiece.bpe.model");
  directory_.write("tokenizer_config.json", R"({"tokenizer_class": "MBartTokenizer", "src_lang": "ro_RO",
                                                "tgt_lang": "en_XX", "legacy": true, "offset": 3, "extra_ids": 1,
                                                "mask_token_sent": null, "split_by_punct": false})");
  Tokenizer::load(directory_.path());
  log::set_sink(nullptr);
  EXPECT_EQ(warnings, "");
}

TEST_F(SentencePieceFiles, SplitSpecialTokensWhereTheConfigSaysSo) {
  copy("unigram.model", "sentencepiece.bpe.model");
  directory_.write("tokenizer_config.json",
                   R"({"tokenizer_class": "XLMRobertaTokenizer", "split_special_tokens": true})");
  const Tokenizer tokenizer = Tokenizer::load(directory_.path());
  const auto ids = tokenizer.encode("<mask>").ids;
  EXPECT_GT(ids.size(), 3u);
}

// 1 MB, with and without white space, by both models.
TEST_F(SentencePieceFiles, TakeTimeInProportionToTheText) {
  std::string words;
  while (words.size() < 1'000'000) words += "the of and to tokenizer hello \xE6\xBC\xA2\xE5\xAD\x97 1999 ";
  const std::string run(1'000'000, 'a');
  for (const auto& [golden, file, name] :
       {std::tuple("unigram.model", "sentencepiece.bpe.model", "XLMRobertaTokenizer"),
        std::tuple("bytes.model", "tokenizer.model", "LlamaTokenizer")}) {
    const ScratchDirectory directory;
    directory.write(file, read_sentencepiece_golden(golden));
    directory.write("tokenizer_config.json", "{\"tokenizer_class\": \"" + std::string(name) + "\"}");
    const Tokenizer tokenizer = Tokenizer::load(directory.path());
    for (const std::string& text : {words, run}) {
      EXPECT_LT(processor_seconds([&] { tokenizer.encode(text); }), 10) << name;
    }
  }
}

}  // namespace
}  // namespace remuda::text
