// Files that are as they should be, and many that are not.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/scratch_directory.h"
#include "text/test_support.h"

namespace remuda::text {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class TokenizerFiles : public testing::Test {
 protected:
  void write(const std::string& name, std::string_view text) const { directory_.write(name, text); }
  void write_model_type(std::string_view type) const {
    write("config.json", fmt::format(R"({{"model_type": "{}"}})", type));
  }
  std::vector<int32_t> ids(std::string_view text) const { return Tokenizer::load(directory_.path()).encode(text).ids; }
  Failure load_failure() const {
    return failure_of([&] { Tokenizer::load(directory_.path()); });
  }

  const ScratchDirectory directory_;
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
    fs::copy(minilm_directory() / name, directory_.path() / name);
  const Tokenizer fallback = Tokenizer::load(directory_.path());
  const Tokenizer tokenizer = Tokenizer::load(minilm_directory());
  EXPECT_EQ(fallback.vocab_size(), tokenizer.vocab_size());
  EXPECT_EQ(fallback.model_max_length(), 512);
  const JsonDocument golden = read_golden("cases.json");
  for (const JsonValue& item : golden.root().at("cases").items()) {
    const std::string_view text = item.at("text").as_string();
    EXPECT_EQ(fallback.encode(text).ids, tokenizer.encode(text).ids) << text;
  }
}

// Ids of "A Ab <t>", which `tokenizers` gives with a Lowercase put in as sentence-transformers does it.
std::vector<int32_t> lower_cased_ids(std::string_view normalizer) {
  const std::string json = fmt::format(
      R"({{"normalizer": {}, "pre_tokenizer": {{"type": "WhitespaceSplit"}},
           "added_tokens": [{{"id": 4, "content": "<T>", "normalized": true, "special": false, "single_word": false,
                              "lstrip": false, "rstrip": false}}],
           "model": {{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                      "max_input_chars_per_word": 100, "vocab": {{"[UNK]": 0, "a": 1, "##b": 2, "x": 3}}}}}})",
      normalizer);
  return Tokenizer::from_json(JsonDocument::parse(json, "t.json"), {.lower_case = true}).encode("A Ab <t>").ids;
}

TEST(LowerCase, ComesBeforeTheNormalizerUnlessItHasOne) {
  // An added token that is sought in the normalized text is normalized in the same way.
  EXPECT_EQ(lower_cased_ids("null"), (std::vector<int32_t>{1, 1, 2, 4}));
  EXPECT_EQ(lower_cased_ids(R"({"type": "NFC"})"), (std::vector<int32_t>{1, 1, 2, 4}));
  constexpr std::string_view kReplace = R"({"type": "Replace", "pattern": {"String": "A"}, "content": "x"})";
  constexpr std::string_view kSequence = R"({{"type": "Sequence", "normalizers": [{}, {}]}})";
  constexpr std::string_view kLowercase = R"({"type": "Lowercase"})";
  EXPECT_EQ(lower_cased_ids(kLowercase), (std::vector<int32_t>{1, 1, 2, 4}));
  EXPECT_EQ(lower_cased_ids(fmt::format(kSequence, kReplace, R"({"type": "NFC"})")),
            (std::vector<int32_t>{1, 1, 2, 4}));
  EXPECT_EQ(lower_cased_ids(fmt::format(kSequence, kReplace, kLowercase)), (std::vector<int32_t>{3, 3, 2, 4}));
  // One inside a sequence of the sequence isn't seen, as sentence-transformers has it.
  const std::string inner = fmt::format(kSequence, kLowercase, R"({"type": "NFC"})");
  EXPECT_EQ(lower_cased_ids(fmt::format(kSequence, kReplace, inner)), (std::vector<int32_t>{1, 1, 2, 4}));
}

TEST_F(TokenizerFiles, VocabularyFilesAreReadInLowerCaseToo) {
  write_model_type("bert");
  write("vocab.txt", "[UNK]\n[CLS]\n[SEP]\n[PAD]\n[MASK]\na\nA");
  write("tokenizer_config.json", R"({"do_lower_case": false})");
  EXPECT_EQ(Tokenizer::load(directory_.path()).encode("A").ids, (std::vector<int32_t>{1, 6, 2}));
  EXPECT_EQ(Tokenizer::load(directory_.path(), {.lower_case = true}).encode("A").ids, (std::vector<int32_t>{1, 5, 2}));
  fs::remove(directory_.path() / "vocab.txt");
  write_model_type("gpt2");
  write("tokenizer_config.json", "{}");
  write("vocab.json", R"({"a": 0, "A": 1})");
  write("merges.txt", "");
  EXPECT_EQ(Tokenizer::load(directory_.path()).encode("A").ids, (std::vector<int32_t>{1}));
  EXPECT_EQ(Tokenizer::load(directory_.path(), {.lower_case = true}).encode("A").ids, (std::vector<int32_t>{0}));
}

TEST_F(TokenizerFiles, VocabTxtIsReadWithItsConfig) {
  write_model_type("bert");
  write("vocab.txt", "<u>\r\n<c>\n<s>\n<p>\n<m>\nA\na\na\n\n中");
  write("tokenizer_config.json",
        R"({"unk_token": "<u>", "cls_token": {"content": "<c>"}, "sep_token": "<s>", "pad_token": "<p>",
            "mask_token": "<m>", "do_lower_case": false, "tokenize_chinese_chars": false,
            "model_max_length": 1000000000000000019884624838656})");
  const Tokenizer tokenizer = Tokenizer::load(directory_.path());
  EXPECT_EQ(tokenizer.encode("A a 中 中中 <m>").ids, (std::vector<int32_t>{1, 5, 7, 9, 0, 4, 2}));
  EXPECT_EQ(tokenizer.model_max_length(), std::nullopt);
}

TEST_F(TokenizerFiles, VocabJsonAndMergesGiveTheSameIdsAsTokenizerJson) {
  const JsonDocument golden = read_golden("byte_level.tokenizer.json");
  const JsonValue model = golden.root().at("model");
  std::string vocabulary;
  for (const auto& [token, id] : model.at("vocab").members()) {
    std::string escaped;
    for (const char c : token) escaped += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
    vocabulary += fmt::format("{}\"{}\": {}", vocabulary.empty() ? "" : ", ", escaped, id.as_int());
  }
  std::string merges = "#version: 0.2\n";
  for (const JsonValue& merge : model.at("merges").items()) {
    merges += fmt::format("{} {}\r\n", merge.items()[0].as_string(), merge.items()[1].as_string());
  }
  write("vocab.json", "{" + vocabulary + "}");
  write("merges.txt", merges);
  write("tokenizer_config.json", R"({"tokenizer_class": "GPT2Tokenizer", "eos_token": "<|end|>",
                                     "bos_token": "<|end|>", "unk_token": "<|end|>"})");
  const Tokenizer from_files = Tokenizer::load(directory_.path());
  const Tokenizer tokenizer = load_golden_tokenizer("byte_level");
  EXPECT_EQ(from_files.vocab_size(), tokenizer.vocab_size());
  const JsonDocument cases = read_golden("cases.json");
  for (const JsonValue& item : cases.root().at("cases").items()) {
    const std::string_view text = item.at("text").as_string();
    const auto ids = tokenizer.encode(text).ids;
    EXPECT_EQ(from_files.encode(text).ids, ids) << text;
    EXPECT_EQ(from_files.decode(ids), tokenizer.decode(ids)) << text;
  }
}

// Ids of transformers 5.23's BertJapaneseTokenizer; tests/parity compares more.
TEST_F(TokenizerFiles, JapaneseIsReadInWordsAndInCharacters) {
  const auto configure = [&](std::string_view words, std::string_view tokens) {
    write("tokenizer_config.json",
          fmt::format(R"({{"tokenizer_class": "BertJapaneseTokenizer", "word_tokenizer_type": "{}",
                           "subword_tokenizer_type": "{}"}})",
                      words, tokens));
  };
  write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n日本\n##語\n日\n語\nバ\nA\n。\n");
  write("tokenizer.json", "{}");
  configure("basic", "wordpiece");
  EXPECT_EQ(ids("日本語。 本"), (std::vector<int32_t>{2, 5, 6, 11, 1, 3}));
  configure("basic", "character");
  EXPECT_EQ(ids("日本語。 ﾊﾞＡ"), (std::vector<int32_t>{2, 7, 1, 8, 11, 9, 10, 3}));
  configure("mecab", "wordpiece");
  EXPECT_EQ(load_failure().code, ErrorCode::kUnsupported);
  EXPECT_EQ(load_failure().message, "word_tokenizer_type: expected basic, found mecab, which remuda does not run");
}

TEST_F(TokenizerFiles, RobertasSpecialTokensAreFound) {
  write_model_type("bart");
  write("vocab.json", R"({"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": 4, "Ġ": 5, "Ġa": 6})");
  write("merges.txt", "Ġ a\n");
  const Tokenizer plain = Tokenizer::load(directory_.path());
  EXPECT_EQ(plain.encode("a a<mask>a").ids, (std::vector<int32_t>{0, 4, 6, 7, 4, 2}));
  EXPECT_EQ(
      plain.decode(std::vector<int32_t>{0, 4, 6, 2}, {.skip_special_tokens = true, .clean_up_tokenization_spaces = {}}),
      "a a");
  write("tokenizer_config.json", R"({"tokenizer_class": "BartTokenizer", "add_prefix_space": true, "sep_token": "<unk>",
                                     "mask_token": {"content": "<mask>", "lstrip": true}})");
  EXPECT_EQ(ids("a <mask>"), (std::vector<int32_t>{0, 6, 7, 3}));
  write("tokenizer_config.json", R"({"tokenizer_class": "RobertaTokenizer", "cls_token": ""})");
  EXPECT_THAT(load_failure().message, HasSubstr("cls_token: expected a token"));
  write("tokenizer_config.json", R"({"tokenizer_class": "RobertaTokenizer", "cls_token": null})");
  EXPECT_THAT(load_failure().message, HasSubstr("cls_token: expected a token"));
  write("tokenizer_config.json", R"({"tokenizer_class": "GPT2Tokenizer"})");
  EXPECT_EQ(ids("a"), std::vector<int32_t>{4});
  write("tokenizer_config.json", R"({"tokenizer_class": "GPT2Tokenizer", "add_bos_token": true})");
  EXPECT_EQ(ids("a"), (std::vector<int32_t>{7, 4}));
}

TEST_F(TokenizerFiles, BadMergesAreNamedWithTheirLine) {
  write_model_type("bart");
  write("vocab.json", R"({"a": 0, "b": 1})");
  write("merges.txt", "#version: 0.2\na b\n");
  EXPECT_EQ(load_failure().code, ErrorCode::kInvalidFile);
  EXPECT_THAT(load_failure().message, HasSubstr("merges.txt: merge 0 (\"a\" and \"b\"): expected the token \"ab\""));
  write("merges.txt", "#version: 0.2\n\na b c\n");
  EXPECT_THAT(load_failure().message, HasSubstr("merges.txt: line 3: expected two tokens with a space between them"));
  write("merges.txt", "ab\n");
  EXPECT_THAT(load_failure().message, HasSubstr("merges.txt: line 1: expected two tokens"));
  write("merges.txt", "\xFF b\n");
  EXPECT_THAT(load_failure().message, HasSubstr("merges.txt: expected UTF-8"));
  write("merges.txt", "");
  write("vocab.json", "[]");
  EXPECT_THAT(load_failure().message, HasSubstr("vocab.json: expected an object"));
}

TEST_F(TokenizerFiles, WhatIsMissingIsNamed) {
  EXPECT_EQ(load_failure().code, ErrorCode::kNotFound);
  EXPECT_THAT(load_failure().message, HasSubstr(directory_.path().string() + ": expected tokenizer.json"));
  write_model_type("bert");
  EXPECT_THAT(load_failure().message, HasSubstr("for the tokenizer class BertTokenizer, vocab.txt, found none"));
  // A special token that the vocabulary hasn't is added to it.
  write("vocab.txt", "[UNK]\n[CLS]\n[PAD]\n[MASK]\na\n");
  EXPECT_EQ(ids("a[SEP]"), (std::vector<int32_t>{1, 4, 5, 5}));
  write("vocab.txt", "[UNK]\n\xFF\n");
  EXPECT_THAT(load_failure().message, HasSubstr("vocab.txt: expected UTF-8"));
  // Only a text that needs it is an error.
  write("vocab.txt", "a\n");
  EXPECT_EQ(ids("a"), (std::vector<int32_t>{4, 0, 2}));
  EXPECT_THAT(failure_of([&] { ids("b"); }).message, HasSubstr("vocab.txt: expected the unknown token \"[UNK]\""));
}

TEST_F(TokenizerFiles, DamageIsNamedWithItsFile) {
  write("tokenizer.json", "{\"version\": ");
  EXPECT_EQ(load_failure().code, ErrorCode::kInvalidFile);
  EXPECT_THAT(load_failure().message, HasSubstr("tokenizer.json: expected JSON"));
  write("tokenizer.json", "[]");
  EXPECT_THAT(load_failure().message, HasSubstr("tokenizer.json: expected an object"));
  fs::copy(golden_directory() / "bare.tokenizer.json", directory_.path() / "tokenizer.json",
           fs::copy_options::overwrite_existing);
  // Nobody needs it until somebody asks.
  const auto length = [&](std::string_view value) {
    write("tokenizer_config.json", fmt::format(R"({{"model_max_length": {}}})", value));
    return Tokenizer::load(directory_.path()).model_max_length();
  };
  EXPECT_EQ(length("512.0"), 512);
  for (const char* bad : {"0", "-1", "12.5"}) {
    EXPECT_THAT(failure_of([&] { length(bad); }).message,
                HasSubstr("tokenizer_config.json: model_max_length: expected an integer from 1"));
  }
  EXPECT_THAT(failure_of([&] { length("\"512\""); }).message, HasSubstr("model_max_length: expected a number"));
  write("tokenizer_config.json", R"({"max_len": 64})");
  EXPECT_EQ(Tokenizer::load(directory_.path()).model_max_length(), 64);
  fs::remove(directory_.path() / "tokenizer_config.json");
  fs::remove(directory_.path() / "tokenizer.json");
  fs::create_directory(directory_.path() / "tokenizer.json");
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
      {R"("pre_tokenizer": {"type": "ByteLevel"})", kInvalid, "pre_tokenizer: expected a field \"add_prefix_space\""},
      {R"("pre_tokenizer": {"type": "Metaspace", "replacement": "ab"})", kInvalid,
       "pre_tokenizer.replacement: expected one character"},
      {R"("pre_tokenizer": {"type": "Metaspace", "replacement": "a", "prepend_scheme": "odd"})", kInvalid,
       "pre_tokenizer.prepend_scheme: expected always, first or never"},
      {R"("pre_tokenizer": {"type": "Metaspace", "replacement": "a", "add_prefix_space": false})", kInvalid,
       "pre_tokenizer.add_prefix_space: expected true"},
      {R"("pre_tokenizer": {"type": "Split", "pattern": {"Regex": "a|b"}, "behavior": "Isolated", "invert": false})",
       kUnsupported, "pre_tokenizer.pattern: expected {\"String\": ...} or GPT-2's regular expression"},
      {R"("pre_tokenizer": {"type": "Split", "pattern": {"String": ""}, "behavior": "Isolated", "invert": false})",
       kInvalid, "pre_tokenizer.pattern.String: expected a string of 1"},
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

TEST(TokenizerJson, BadBytePairsAndUnigramsAreNamed) {
  constexpr ErrorCode kInvalid = ErrorCode::kInvalidFile;
  const BadField fields[] = {
      {R"("model": {"type": "BPE", "vocab": {}})", kInvalid, "t.json: model: expected a field \"merges\""},
      {R"("model": {"type": "BPE", "vocab": {}, "merges": {}})", kInvalid, "t.json: model.merges: expected an array"},
      {R"("model": {"type": "BPE", "vocab": {}, "merges": ["a"]})", kInvalid,
       "t.json: model.merges[0]: expected two tokens with a space"},
      {R"("model": {"type": "BPE", "vocab": {}, "merges": [["a"]]})", kInvalid, "model.merges[0]: expected two tokens"},
      {R"("model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a a"]})", kInvalid,
       "t.json: model: merge 0 (\"a\" and \"a\"): expected the token \"aa\" in the vocabulary"},
      {R"("model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], "dropout": 0.1})", ErrorCode::kUnsupported,
       "t.json: model.dropout: expected null or 0, found 0.1"},
      {R"("model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], "unk_token": "u"})", kInvalid,
       "t.json: model: expected the unknown token \"u\""},
      {R"("model": {"type": "Unigram", "vocab": {}})", kInvalid, "t.json: model.vocab: expected an array"},
      {R"("model": {"type": "Unigram", "vocab": [["a"]]})", kInvalid, "model.vocab[0]: expected a token and its score"},
      {R"("model": {"type": "Unigram", "vocab": [["a", "b"]]})", kInvalid, "model.vocab[0][1]: expected a number"},
      {R"("model": {"type": "Unigram", "vocab": [["a", NaN]]})", kInvalid, "expected a number as the score"},
      {R"("model": {"type": "Unigram", "vocab": [["a", 0], ["a", 1]]})", kInvalid, "expected each token once"},
      {R"("model": {"type": "Unigram", "vocab": [["a", 0]], "unk_id": 1})", kInvalid,
       "t.json: model: unk_id: expected the id of a token, found 1"},
      {R"("model": {"type": "Unigram", "vocab": [], "unk_id": 0})", kInvalid, "unk_id: expected the id of a token"},
  };
  for (const auto& [field, code, message] : fields) {
    const Failure failure = parse_failure(field);
    EXPECT_EQ(failure.code, code) << failure.message;
    EXPECT_THAT(failure.message, HasSubstr(message));
  }
}

TEST(TokenizerJson, OldModelsNeedNoType) {
  const auto ids = [](std::string_view model) {
    const auto document = JsonDocument::parse(fmt::format(R"({{"model": {}}})", model), "t.json");
    return Tokenizer::from_json(document).encode("ab").ids;
  };
  EXPECT_EQ(ids(R"({"max_input_chars_per_word": 9, "vocab": {"[UNK]": 0, "ab": 1}})"), std::vector<int32_t>{1});
  EXPECT_EQ(ids(R"({"dropout": null, "unk_token": null, "continuing_subword_prefix": "", "end_of_word_suffix": "",
                    "fuse_unk": false, "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["#version: 0.2", "a b"]})"),
            std::vector<int32_t>{2});
  EXPECT_EQ(ids(R"({"unk_id": 0, "vocab": [["<unk>", 0], ["ab", -1], ["a", -3]]})"), std::vector<int32_t>{1});
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

TEST_F(TokenizerFiles, HugeAndEndlesslyNestedFilesAreRefused) {
  write("tokenizer.json", "{");
  fs::resize_file(directory_.path() / "tokenizer.json", (uintmax_t{1} << 28) + 1);  // Sparse.
  EXPECT_EQ(load_failure().code, ErrorCode::kInvalidFile);
  EXPECT_THAT(load_failure().message, HasSubstr((directory_.path() / "tokenizer.json").string() +
                                                ": expected at most 268435456 bytes, found 268435457"));
  std::string nested = R"({"type": "NFC"})";
  for (int i = 0; i < 40; ++i) nested = fmt::format(R"({{"type": "Sequence", "normalizers": [{}]}})", nested);
  write("tokenizer.json", fmt::format(R"({{"normalizer": {}, {}}})", nested, kModel));
  EXPECT_THAT(load_failure().message, HasSubstr("tokenizer.json: expected JSON"));
  EXPECT_THAT(load_failure().message, HasSubstr("nested deeper than 64 levels"));
}

// Steps that undo each other, and merges that name each other, are taken once each.
TEST(TokenizerJson, RulesThatGoInACircleEnd) {
  const auto document = JsonDocument::parse(
      R"({"normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"},
            {"type": "Replace", "pattern": {"String": "a"}, "content": "b"},
            {"type": "Replace", "pattern": {"String": "b"}, "content": "a"}]},
          "model": {"type": "BPE", "vocab": {"a": 0, "aa": 1, "aaa": 2, "##": 3}, "continuing_subword_prefix": "##",
                    "merges": [["a", "##"], ["aa", "##"]]}})",
      "t.json");
  EXPECT_EQ(Tokenizer::from_json(document).encode("a").ids, std::vector<int32_t>{0});
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
