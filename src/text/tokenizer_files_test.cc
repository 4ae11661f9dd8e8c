// Files that are as they should be, and many that are not.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "text/test_support.h"

namespace remuda::text {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class TokenizerFiles : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::path(testing::TempDir()) / fmt::format("remuda_tokenizer_{}", getpid());
    fs::create_directories(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }

  void write(const std::string& name, std::string_view text) const {
    std::ofstream(directory_ / name, std::ios::binary) << text;
  }
  Failure load_failure() const {
    return failure_of([&] { Tokenizer::load(directory_); });
  }

  fs::path directory_;
};

constexpr std::string_view kModel =
    R"("model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                 "max_input_chars_per_word": 100, "vocab": {"[UNK]": 0, "a": 1, "##b": 2}})";

Failure parse_failure(std::string_view fields) {
  const std::string json = fmt::format("{{{}}}", fields);
  return failure_of([&] { Tokenizer::from_json(JsonDocument::parse(json, "t.json")); });
}

// With a model that is fine.
Failure failure_beside_model(std::string_view field) { return parse_failure(fmt::format("{}, {}", field, kModel)); }

TEST_F(TokenizerFiles, VocabTxtGivesTheSameIdsAsTokenizerJson) {
  for (const char* name : {"vocab.txt", "tokenizer_config.json"})
    fs::copy(minilm_directory() / name, directory_ / name);
  const Tokenizer fallback = Tokenizer::load(directory_);
  const Tokenizer tokenizer = Tokenizer::load(minilm_directory());
  EXPECT_EQ(fallback.vocab_size(), tokenizer.vocab_size());
  EXPECT_EQ(fallback.model_max_length(), 512);
  const JsonDocument golden = read_golden("cases.json");
  for (const JsonValue& item : golden.root().at("cases").items()) {
    const std::string_view text = item.at("text").as_string();
    EXPECT_EQ(fallback.encode(text).ids, tokenizer.encode(text).ids) << text;
  }
}

TEST_F(TokenizerFiles, VocabTxtIsReadWithItsConfig) {
  write("vocab.txt", "<u>\r\n<c>\n<s>\n<p>\n<m>\nA\na\na\n\n中");
  write("tokenizer_config.json",
        R"({"unk_token": "<u>", "cls_token": {"content": "<c>"}, "sep_token": "<s>", "pad_token": "<p>",
            "mask_token": "<m>", "do_lower_case": false, "tokenize_chinese_chars": false,
            "model_max_length": 1000000000000000019884624838656})");
  const Tokenizer tokenizer = Tokenizer::load(directory_);
  EXPECT_EQ(tokenizer.encode("A a 中 中中 <m>").ids, (std::vector<int32_t>{1, 5, 7, 9, 0, 4, 2}));
  EXPECT_EQ(tokenizer.model_max_length(), std::nullopt);
}

TEST_F(TokenizerFiles, WhatIsMissingIsNamed) {
  EXPECT_EQ(load_failure().code, ErrorCode::kNotFound);
  EXPECT_THAT(load_failure().message,
              HasSubstr(directory_.string() + ": expected tokenizer.json, vocab.txt, or vocab.json and"));
  write("vocab.txt", "[UNK]\n[CLS]\n[PAD]\n[MASK]\n");
  EXPECT_EQ(load_failure().code, ErrorCode::kInvalidFile);
  EXPECT_THAT(load_failure().message, HasSubstr("vocab.txt: expected a line \"[SEP]\", found none"));
  write("vocab.txt", "[UNK]\n\xFF\n");
  EXPECT_THAT(load_failure().message, HasSubstr("vocab.txt: expected UTF-8"));
  write("vocab.txt", "");
  EXPECT_THAT(load_failure().message, HasSubstr("vocab.txt: expected the unknown token \"[UNK]\""));
}

TEST_F(TokenizerFiles, DamageIsNamedWithItsFile) {
  write("tokenizer.json", "{\"version\": ");
  EXPECT_EQ(load_failure().code, ErrorCode::kInvalidFile);
  EXPECT_THAT(load_failure().message, HasSubstr("tokenizer.json: expected JSON"));
  write("tokenizer.json", "[]");
  EXPECT_THAT(load_failure().message, HasSubstr("tokenizer.json: expected an object"));
  fs::copy(golden_directory() / "bare.tokenizer.json", directory_ / "tokenizer.json",
           fs::copy_options::overwrite_existing);
  write("tokenizer_config.json", R"({"model_max_length": 0})");
  EXPECT_THAT(load_failure().message, HasSubstr("tokenizer_config.json: model_max_length: expected an integer from 1"));
  write("tokenizer_config.json", R"({"model_max_length": "512"})");
  EXPECT_THAT(load_failure().message, HasSubstr("tokenizer_config.json: model_max_length: expected a number"));
  fs::remove(directory_ / "tokenizer_config.json");
  fs::remove(directory_ / "tokenizer.json");
  fs::create_directory(directory_ / "tokenizer.json");
  EXPECT_EQ(load_failure().code, ErrorCode::kIo);
}

struct BadField {
  const char* field;
  ErrorCode code;
  const char* message;
};

TEST(TokenizerJson, BadFieldsAreNamed) {
  constexpr ErrorCode kInvalid = ErrorCode::kInvalidFile;
  constexpr ErrorCode kUnsupported = ErrorCode::kUnsupported;
  const BadField fields[] = {
      {R"("version": "2.0")", kUnsupported, "t.json: version: expected \"1.0\", found \"2.0\""},
      {R"("version": 1)", kInvalid, "t.json: version: expected a string"},
      {R"("normalizer": {})", kInvalid, "t.json: normalizer: expected a field \"type\""},
      {R"("normalizer": 3)", kInvalid, "t.json: normalizer: expected an object"},
      {R"("normalizer": {"type": "Odd"})", kUnsupported, "t.json: normalizer.type: expected one of BertNormalizer"},
      {R"("pre_tokenizer": {"type": "Odd"})", kUnsupported,
       "t.json: pre_tokenizer.type: expected one of BertPreTokenizer, ByteLevel, Digits, Metaspace, Punctuation, "
       "Sequence, Split, Whitespace, WhitespaceSplit, found \"Odd\""},
      {R"("pre_tokenizer": {"type": "Punctuation", "behavior": "Odd"})", kInvalid,
       "pre_tokenizer.behavior: expected Removed"},
      {R"("pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Odd"}]})", kUnsupported,
       "t.json: pre_tokenizer.pretokenizers[0].type: expected one of"},
      {R"("post_processor": {"type": "Odd"})", kUnsupported,
       "t.json: post_processor.type: expected one of BertProcessing"},
      {R"("post_processor": {"type": "BertProcessing", "cls": ["a", 3], "sep": ["a", 1]})", kInvalid,
       "t.json: post_processor.cls[1]: expected the id of a token, found 3"},
      {R"("post_processor": {"type": "BertProcessing", "cls": ["a"], "sep": ["a", 1]})", kInvalid,
       "post_processor.cls: expected a token and its id"},
      {R"("post_processor": {"type": "Sequence", "processors": [
           {"type": "BertProcessing", "cls": ["a", 1], "sep": ["a", 1]},
           {"type": "BertProcessing", "cls": ["a", 1], "sep": ["a", 1]}]})",
       kUnsupported, "processors[1]: expected one post-processor that adds special tokens"},
      {R"("post_processor": {"type": "TemplateProcessing", "single": [], "special_tokens": {}})", kInvalid,
       "post_processor.single: expected a Sequence"},
      {R"("post_processor": {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "B"}}], "special_tokens": {}})",
       kInvalid, "expected \"A\""},
      {R"("post_processor": {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}, {"Sequence": {"id": "A"}}],
           "special_tokens": {}})",
       kInvalid, "single[1]: expected one Sequence"},
      {R"("post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "X"}}],
           "special_tokens": {}})",
       kInvalid, "special_tokens: expected a field \"X\""},
      {R"("added_tokens": {})", kInvalid, "t.json: added_tokens: expected an array"},
      {R"("added_tokens": [{"id": 0}])", kInvalid, "t.json: added_tokens[0]: expected a field \"content\""},
      {R"("added_tokens": [{"id": -1, "content": "x"}])", kInvalid, "added_tokens[0].id: expected an integer from 0"},
      {R"("added_tokens": [{"id": 9, "content": "x"}])", kInvalid, "added_tokens[0]: expected a field \"single_word\""},
  };
  for (const auto& [field, code, message] : fields) {
    const Failure failure = failure_beside_model(field);
    EXPECT_EQ(failure.code, code) << failure.message;
    EXPECT_THAT(failure.message, HasSubstr(message));
  }
}

TEST(TokenizerJson, BadModelsAreNamed) {
  constexpr ErrorCode kInvalid = ErrorCode::kInvalidFile;
  const BadField fields[] = {
      {R"("normalizer": null)", kInvalid, "t.json: expected a field \"model\""},
      {R"("model": {"type": "Odd"})", ErrorCode::kUnsupported,
       "t.json: model.type: expected one of BPE, Unigram, WordPiece, found \"Odd\""},
      {R"("model": {"vocab": {}})", kInvalid, "t.json: model: expected a field \"type\""},
      {R"("model": {"type": "WordPiece"})", kInvalid, "t.json: model: expected a field \"vocab\""},
      {R"("model": {"type": "WordPiece", "vocab": []})", kInvalid, "t.json: model.vocab: expected an object"},
      {R"("model": {"type": "WordPiece", "vocab": {"a": 0}})", kInvalid,
       "t.json: model: expected the unknown token \"[UNK]\""},
      {R"("model": {"type": "WordPiece", "vocab": {"[UNK]": 5000000}})", kInvalid,
       "t.json: model.vocab: expected ids from 0 to"},
      {R"("model": {"type": "WordPiece", "vocab": {"[UNK]": 0, "a": 0}})", kInvalid,
       "model.vocab: expected each id once"},
      {R"("model": {"type": "WordPiece", "vocab": {"[UNK]": 0}, "max_input_chars_per_word": -1})", kInvalid,
       "model.max_input_chars_per_word: expected an integer from 0"},
  };
  for (const auto& [field, code, message] : fields) {
    const Failure failure = parse_failure(field);
    EXPECT_EQ(failure.code, code) << failure.message;
    EXPECT_THAT(failure.message, HasSubstr(message));
  }
}

TEST(TokenizerJson, ATypeIsNotNeededForAnOldWordPiece) {
  const auto document =
      JsonDocument::parse(R"({"model": {"max_input_chars_per_word": 9, "vocab": {"[UNK]": 0, "a": 1}}})", "t.json");
  EXPECT_EQ(Tokenizer::from_json(document).encode("a").ids, std::vector<int32_t>{1});
}

TEST(TokenizerJson, AnAddedTokenGetsTheIdThatHuggingFaceGivesIt) {
  const auto document = JsonDocument::parse(
      R"({"added_tokens": [
           {"id": 9, "content": "x", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false},
           {"id": 8, "content": "a", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false},
           {"id": 7, "content": "", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false},
           {"id": 6, "content": "y", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false}], )" +
          std::string(kModel) + "}",
      "t.json");
  const Tokenizer tokenizer = Tokenizer::from_json(document);
  EXPECT_EQ(tokenizer.encode("xay").ids, (std::vector<int32_t>{3, 1, 4}));
  EXPECT_EQ(tokenizer.vocab_size(), 5);
}

// Without a limit the parts of a sequence could ask for any time and memory.
TEST(TokenizerJson, HugeSequencesAreRefused) {
  const auto repeated = [](std::string_view item, int count) {
    std::string list;
    for (int i = 0; i < count; ++i) list.append(i > 0 ? "," : "").append(item);
    return fmt::format("[{}]", list);
  };
  EXPECT_THAT(failure_beside_model(R"("normalizer": {"type": "Sequence", "normalizers": )" +
                                   repeated(R"({"type": "NFD"})", 100) + "}")
                  .message,
              HasSubstr("at most 64 normalizers"));
  EXPECT_THAT(failure_beside_model(R"("pre_tokenizer": {"type": "Sequence", "pretokenizers": )" +
                                   repeated(R"({"type": "Whitespace"})", 100) + "}")
                  .message,
              HasSubstr("at most 64 pre-tokenizers"));
  EXPECT_THAT(failure_beside_model(
                  R"("post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "X"}}],
                                       "special_tokens": {"X": {"ids": )" +
                  repeated("1", 100) + "}}}")
                  .message,
              HasSubstr("at most 64 special tokens"));
}

}  // namespace
}  // namespace remuda::text
