// Ids back to text, against what Hugging Face makes of them.
//   REMUDA_DECODE_CASES  a file like decode.json whose cases have a "tokenizer_json"; tests/parity/ makes such
#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

#include <map>

#include "text/test_support.h"
#include "text/utf8.h"

namespace remuda::text {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Ids = std::vector<int32_t>;

// Well-formed at each step, and all of it together at the end.
std::string stream(const Tokenizer& tokenizer, const Ids& ids, const DecodeOptions& options) {
  TextStream decoding(tokenizer, options);
  std::string all;
  const auto take = [&](const std::string& text) {
    std::string repaired;
    EXPECT_EQ(repair_utf8(text, repaired), 0) << "half a character";
    all += text;
  };
  for (const int32_t id : ids) take(decoding.add(id));
  take(decoding.finish());
  return all;
}

void expect_text(const Tokenizer& tokenizer, const JsonValue& item) {
  const Ids ids = to_ids(item.at("ids"));
  const DecodeOptions options{.skip_special_tokens = item.at("skip_special_tokens").as_bool(),
                              .clean_up_tokenization_spaces = item.bool_or("clean_up_tokenization_spaces", false)};
  const std::string_view expected = item.at("text").as_string();
  EXPECT_EQ(tokenizer.decode(ids, options), expected) << item.where();
  EXPECT_EQ(stream(tokenizer, ids, options), expected) << item.where();
}

TEST(Decoding, TextIsHuggingFaces) {
  const JsonDocument golden = read_golden("decode.json");
  std::map<std::string, Tokenizer, std::less<>> tokenizers;
  const auto cases = golden.root().at("cases").items();
  ASSERT_GT(cases.size(), 800u);
  for (const JsonValue& item : cases) {
    const std::string name(item.at("tokenizer").as_string());
    if (!tokenizers.contains(name)) tokenizers.emplace(name, load_golden_tokenizer(name));
    expect_text(tokenizers.at(name), item);
  }
}

TEST(Decoding, TextIsHuggingFacesInTheCasesThatAreNamed) {
  const char* path = std::getenv("REMUDA_DECODE_CASES");
  if (path == nullptr) return;
  const JsonDocument document = JsonDocument::parse_file(path);
  for (const JsonValue& group : document.root().at("groups").items()) {
    const auto tokenizer =
        Tokenizer::from_json(JsonDocument::parse(group.at("tokenizer_json").as_string(), "tokenizer.json"));
    for (const JsonValue& item : group.at("cases").items()) expect_text(tokenizer, item);
  }
}

Tokenizer with_decoder(std::string_view decoder, std::string_view tokens) {
  std::string json = R"({"model": {"type": "WordPiece", "vocab": {"[UNK]": 0)";
  int id = 0;
  for (size_t begin = 0; begin < tokens.size();) {
    const size_t end = std::min(tokens.find('|', begin), tokens.size());
    json.append(", \"").append(tokens.substr(begin, end - begin)).append("\": ").append(std::to_string(++id));
    begin = end + 1;
  }
  json.append("}}, \"decoder\": ").append(decoder).append("}");
  return Tokenizer::from_json(JsonDocument::parse(json, "t.json"));
}

// What each id gives at once, and at last what was held back.
std::vector<std::string> steps(const Tokenizer& tokenizer, const Ids& ids, const DecodeOptions& options = {}) {
  TextStream decoding(tokenizer, options);
  std::vector<std::string> texts;
  for (const int32_t id : ids) texts.push_back(decoding.add(id));
  texts.push_back(decoding.finish());
  return texts;
}

TEST(Decoding, TextIsGivenAwayOnceItIsSettled) {
  // é is two bytes, which "Ã" and "©" stand for.
  const Tokenizer bytes = with_decoder(R"({"type": "ByteLevel"})", "a|Ã|©|Ġb");
  EXPECT_THAT(steps(bytes, {1, 2, 3, 4}), ElementsAre("a", "", "é", " b", ""));
  EXPECT_THAT(steps(bytes, {2, 1, 2}), ElementsAre("", "\uFFFDa", "", "\uFFFD"));
  const Tokenizer pieces = with_decoder(R"({"type": "Sequence", "decoders": [
      {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})",
                                        " a|<0xC3>|<0xA9>| ");
  EXPECT_THAT(steps(pieces, {1, 2, 3, 1}), ElementsAre("a", "", "", "é a", ""));
  EXPECT_THAT(steps(pieces, {4, 4, 2}), ElementsAre("", " ", "", "\uFFFD"));
  const Tokenizer suffixes = with_decoder(R"({"type": "BPEDecoder", "suffix": "</w>"})", "a</w>|b");
  EXPECT_THAT(steps(suffixes, {1, 2, 1}), ElementsAre("", "a ", "b", "a"));
}

TEST(Decoding, SpacesAreCleanedUpWhereThatIsAskedFor) {
  const Tokenizer tokenizer = with_decoder("null", "don|n't|.|'|s|do|not");
  const Ids ids = {1, 2, 3, 4, 5, 6, 7, 3};
  EXPECT_EQ(tokenizer.decode(ids), "don n't . ' s do not .");
  const DecodeOptions options{.skip_special_tokens = false, .clean_up_tokenization_spaces = true};
  EXPECT_EQ(tokenizer.decode(ids, options), "donn't.'s do not.");
  EXPECT_THAT(steps(tokenizer, ids, options), ElementsAre("", "don", "n't", ".", "", "'s", " do", " not", "."));
  // Byte pairs keep the spaces of the text.
  const Tokenizer pairs = load_golden_tokenizer("byte_level");
  EXPECT_EQ(pairs.decode(pairs.encode("a .").ids, options), "a .");
}

TEST(Decoding, AnIdWithoutATokenGivesNothing) {
  const Tokenizer tokenizer = with_decoder("null", "a");
  EXPECT_EQ(tokenizer.decode(Ids{-1, 1, 99, INT32_MAX, 1, INT32_MIN}), "a a");
  EXPECT_EQ(tokenizer.decode({}), "");
}

// GPT-2's form loses nothing.
RC_GTEST_PROP(Decoding, BytePairsGiveTheTextBack, (const std::vector<uint8_t>& bytes)) {
  static const Tokenizer tokenizer = load_golden_tokenizer("byte_level");
  std::string text(bytes.begin(), bytes.end());
  std::string repaired;
  if (repair_utf8(text, repaired) > 0) text = repaired;
  RC_ASSERT(tokenizer.decode(tokenizer.encode(text).ids) == text);
}

RC_GTEST_PROP(Decoding, AStreamIsTheWhole, ()) {
  static const std::map<std::string, Tokenizer> tokenizers = [] {
    std::map<std::string, Tokenizer> loaded;
    for (const char* name : {"byte_level", "byte_fallback", "word_ends", "unigram", "nmt", "bert_uncased"}) {
      loaded.emplace(name, load_golden_tokenizer(name));
    }
    return loaded;
  }();
  const auto found = tokenizers.find(
      *rc::gen::element<std::string>("byte_level", "byte_fallback", "word_ends", "unigram", "nmt", "bert_uncased"));
  const Tokenizer& tokenizer = found->second;
  const Ids ids = *rc::gen::container<Ids>(rc::gen::inRange<int32_t>(0, tokenizer.vocab_size()));
  const DecodeOptions options{.skip_special_tokens = *rc::gen::arbitrary<bool>(),
                              .clean_up_tokenization_spaces = *rc::gen::arbitrary<bool>()};
  RC_ASSERT(stream(tokenizer, ids, options) == tokenizer.decode(ids, options));
}

TEST(Decoding, BadDecodersAreNamed) {
  const auto message = [](std::string_view decoder) { return failure_of([&] { with_decoder(decoder, "a"); }).message; };
  EXPECT_THAT(message(R"({"type": "CTC"})"),
              HasSubstr("t.json: decoder.type: expected one of BPEDecoder, ByteFallback"));
  EXPECT_THAT(message(R"({"type": "BPEDecoder", "suffix": ""})"), HasSubstr("decoder.suffix: expected a string of 1"));
  EXPECT_THAT(message(R"({"type": "Strip", "content": "ab", "start": 1, "stop": 0})"),
              HasSubstr("decoder.content: expected one character"));
  EXPECT_THAT(message(R"({"type": "Strip", "content": "a", "start": -1, "stop": 0})"),
              HasSubstr("decoder.start: expected an integer from 0"));
  EXPECT_THAT(message(R"({"type": "Replace", "pattern": {"Regex": "a|b"}, "content": ""})"),
              HasSubstr("decoder.pattern: expected {\"String\": ...}, or"));
  EXPECT_THAT(message(R"({"type": "WordPiece", "prefix": "##"})"), HasSubstr("expected a field \"cleanup\""));
}

}  // namespace
}  // namespace remuda::text
