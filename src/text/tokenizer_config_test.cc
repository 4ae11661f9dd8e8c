// What a directory's small files do to its tokenizer; every expectation is what transformers 5.23 gives.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log.h"
#include "base/scratch_directory.h"
#include "text/test_support.h"

namespace remuda::text {
namespace {

using ::testing::HasSubstr;
using Ids = std::vector<int32_t>;

// tokenizer.json of a small BERT, whose normalizer makes letters small: 0 [PAD], 1 [UNK], 2 [CLS], 3 [SEP], 4 [MASK],
// 5 cafe, 6 Cafe, 7 Café, 8 漢, 9 字, 10 漢字, 11 new, 12 ##word, 13 [unused1], 14 b.
constexpr std::string_view kBert = R"({
  "version": "1.0", "truncation": null, "padding": null,
  "added_tokens": [
    {"id": 2, "content": "[CLS]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
    {"id": 3, "content": "[SEP]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
  "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
  "pre_tokenizer": {"type": "BertPreTokenizer"},
  "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
  "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
  "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
    "vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "cafe": 5, "Cafe": 6, "Café": 7, "漢": 8, "字": 9,
              "漢字": 10, "new": 11, "##word": 12, "[unused1]": 13, "b": 14}}})";

class Settings : public testing::Test {
 protected:
  Settings() {
    write("tokenizer.json", kBert);
    write("config.json", R"({"model_type": "bert"})");
  }
  void write(const std::string& name, std::string_view text) const { directory_.write(name, text); }
  // Of a text, with this as tokenizer_config.json.
  Ids ids(std::string_view config, std::string_view text, const LoadOptions& options = {}) const {
    write("tokenizer_config.json", config);
    return Tokenizer::load(directory_.path(), options).encode(text).ids;
  }

  const ScratchDirectory directory_;
};

TEST_F(Settings, ABertTokenizerIsBuiltFromItsFlagsWhateverTokenizerJsonSays) {
  constexpr std::string_view kText = "Café 漢字";
  EXPECT_EQ(ids(R"({"tokenizer_class": "BertTokenizer"})", kText), (Ids{2, 5, 8, 9, 3}));
  EXPECT_EQ(ids(R"({"tokenizer_class": "BertTokenizer", "do_lower_case": false})", kText), (Ids{2, 7, 8, 9, 3}));
  EXPECT_EQ(ids(R"({"do_lower_case": false, "strip_accents": true})", kText), (Ids{2, 6, 8, 9, 3}));
  EXPECT_EQ(ids(R"({"do_lower_case": false, "tokenize_chinese_chars": false})", kText), (Ids{2, 7, 10, 3}));
  EXPECT_EQ(ids(R"({"tokenizer_class": "ElectraTokenizerFast", "do_lower_case": false})", kText), (Ids{2, 7, 8, 9, 3}));
  EXPECT_EQ(ids(R"({"tokenizer_class": "DPRReaderTokenizer", "do_lower_case": false})", kText), (Ids{2, 5, 8, 9, 3}));
}

TEST_F(Settings, TheBaseClassTakesTokenizerJsonAsItIs) {
  for (const char* name : {"PreTrainedTokenizerFast", "TokenizersBackend", "NobodysTokenizer"}) {
    EXPECT_EQ(ids(fmt::format(R"({{"tokenizer_class": "{}", "do_lower_case": false}})", name), "Café 漢字"),
              (Ids{2, 5, 8, 9, 3}))
        << name;
  }
  write("config.json", R"({"model_type": "modernbert"})");
  EXPECT_EQ(ids(R"({"tokenizer_class": "BertTokenizer", "do_lower_case": false})", "Café"), (Ids{2, 5, 3}));
}

TEST_F(Settings, ACallersFieldsReplaceThoseOfTheFile) {
  const LoadOptions cased{.config_overrides = R"({"do_lower_case": false, "model_max_length": 7})"};
  EXPECT_EQ(ids(R"({"do_lower_case": true, "model_max_length": "512"})", "Café", cased), (Ids{2, 7, 3}));
  EXPECT_EQ(Tokenizer::load(directory_.path(), cased).model_max_length(), 7);
  const LoadOptions null{.config_overrides = R"({"do_lower_case": null})"};
  EXPECT_EQ(ids(R"({"do_lower_case": false})", "Café", null), (Ids{2, 5, 3}));
}

TEST_F(Settings, TextIsCutOnTheSideThatTheFilesName) {
  const auto cut = [&](std::string_view config) {
    write("tokenizer_config.json", config);
    return Tokenizer::load(directory_.path()).encode("b new cafe", {.max_length = 4}).ids;
  };
  EXPECT_EQ(cut("{}"), (Ids{2, 14, 11, 3}));
  EXPECT_EQ(cut(R"({"truncation_side": "left"})"), (Ids{2, 11, 5, 3}));
  std::string json(kBert);
  json.replace(json.find("null"), 4,
               R"({"direction": "Left", "max_length": 9, "strategy": "LongestFirst", "stride": 0})");
  write("tokenizer.json", json);
  EXPECT_EQ(cut("{}"), (Ids{2, 11, 5, 3}));
  EXPECT_EQ(cut(R"({"truncation_side": "right"})"), (Ids{2, 14, 11, 3}));
}

TEST_F(Settings, AddedTokensOfEachFileAreFound) {
  EXPECT_EQ(ids("{}", "b newword b"), (Ids{2, 14, 11, 12, 14, 3}));
  EXPECT_EQ(ids(R"({"additional_special_tokens": ["newword"]})", "b newword b"), (Ids{2, 14, 15, 14, 3}));
  EXPECT_EQ(ids(R"({"extra_special_tokens": {"own_token": "newword"}})", "b newword b"), (Ids{2, 14, 15, 14, 3}));
  EXPECT_EQ(ids(R"({"added_tokens_decoder": {"99": {"content": "newword", "lstrip": false, "rstrip": false,
                    "normalized": true, "single_word": false, "special": false}}})",
                "b newword b"),
            (Ids{2, 14, 15, 14, 3}));
  // An id of the file puts tokens in order, no more.
  write("added_tokens.json", R"({"newword": 40, "Cafe": 30})");
  EXPECT_EQ(ids("{}", "b newword b"), (Ids{2, 14, 15, 14, 3}));
  EXPECT_EQ(ids(R"({"added_tokens_decoder": {}})", "b newword b"), (Ids{2, 14, 11, 12, 14, 3}));
}

TEST_F(Settings, SpecialTokensMapOutweighsTokenizerConfig) {
  write("special_tokens_map.json", R"({"cls_token": "[unused1]", "mask_token": {"content": "[MASK]", "lstrip": true,
                                       "rstrip": true, "normalized": false, "single_word": false}})");
  EXPECT_EQ(ids(R"({"cls_token": "b"})", "new [MASK]  new"), (Ids{13, 11, 4, 11, 3}));
  // With added_tokens_decoder it doesn't count.
  EXPECT_EQ(ids(R"({"cls_token": "b", "added_tokens_decoder": {}})", "new"), (Ids{14, 11, 3}));
}

TEST_F(Settings, ASpecialTokenIsLeftOutOfDecodedTextWhicheverFileNamesIt) {
  write("tokenizer_config.json", R"({"additional_special_tokens": ["newword"]})");
  const Tokenizer tokenizer = Tokenizer::load(directory_.path());
  const DecodeOptions options{.skip_special_tokens = true, .clean_up_tokenization_spaces = {}};
  EXPECT_EQ(tokenizer.decode(Ids{2, 14, 15, 4, 3}, options), "b");
  EXPECT_EQ(ids(R"({"split_special_tokens": true})", "[SEP] b"), (Ids{2, 1, 1, 1, 14, 3}));
}

TEST_F(Settings, MPNetsTokensAreItsOwn) {
  write("tokenizer.json", "");
  std::filesystem::remove(directory_.path() / "tokenizer.json");
  write("vocab.txt", "<s>\n<pad>\n</s>\n[UNK]\na\n<mask>\n");
  write("config.json", R"({"model_type": "mpnet"})");
  EXPECT_EQ(ids("{}", "a <mask>"), (Ids{0, 4, 5, 2}));
  EXPECT_EQ(Tokenizer::load(directory_.path()).vocab_size(), 6);
}

TEST_F(Settings, HerbertsMergesMarkTheEndOfAWord) {
  std::filesystem::remove(directory_.path() / "tokenizer.json");
  write("config.json", R"({"model_type": "bert", "tokenizer_class": "HerbertTokenizer"})");
  write("vocab.json", R"({"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": 4, "b</w>": 5, "ab</w>": 6, "a</w>": 7})");
  write("merges.txt", "#version: 0.2\na b</w>\n");
  EXPECT_EQ(ids("{}", "ab a, "), (Ids{0, 6, 7, 3, 2}));
}

TEST_F(Settings, AClassThatPythonAloneRunsIsRefusedByName) {
  write("tokenizer_config.json", R"({"tokenizer_class": "BertweetTokenizer"})");
  const Failure failure = failure_of([&] { Tokenizer::load(directory_.path()); });
  EXPECT_EQ(failure.code, ErrorCode::kUnsupported);
  EXPECT_THAT(failure.message,
              HasSubstr("tokenizer_class: expected a class that remuda knows, found BertweetTokenizer"));
}

std::string said;

TEST_F(Settings, UnknownFieldsAreNamedOnce) {
  said.clear();
  log::set_sink([](log::Level, std::string_view message) { said.append(message).append("\n"); });
  ids(R"({"do_lower_csae": false, "chat_template": "x"})", "b");
  const std::string first = said;
  ids(R"({"do_lower_csae": false, "chat_template": "x"})", "b");
  log::set_sink(nullptr);
  EXPECT_THAT(first, HasSubstr("tokenizer_config.json: unknown fields, which change nothing here: do_lower_csae"));
  EXPECT_EQ(said, first);
}

}  // namespace
}  // namespace remuda::text
