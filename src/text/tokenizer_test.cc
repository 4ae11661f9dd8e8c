#include "text/tokenizer.h"

#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

#include <atomic>
#include <map>
#include <thread>

#include "text/test_support.h"

namespace remuda::text {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct GoldenCase {
  std::string tokenizer;
  std::string text;
  EncodeOptions options;
  std::vector<int32_t> ids;
  int64_t total = 0;
};

std::vector<GoldenCase> read_cases() {
  const JsonDocument golden = read_golden("cases.json");
  std::vector<GoldenCase> cases;
  for (const JsonValue& item : golden.root().at("cases").items()) {
    GoldenCase golden_case;
    golden_case.tokenizer = item.at("tokenizer").as_string();
    golden_case.text = item.at("text").as_string();
    golden_case.options.add_special_tokens = item.at("add_special_tokens").as_bool();
    if (const auto max_length = item.find("max_length")) golden_case.options.max_length = max_length->as_int();
    golden_case.ids = to_ids(item.at("ids"));
    golden_case.total = item.at("total").as_int();
    cases.push_back(std::move(golden_case));
  }
  return cases;
}

std::map<std::string, Tokenizer> load_tokenizers() {
  std::map<std::string, Tokenizer> tokenizers;
  for (const char* name : {"bare", "bert_cased", "bert_lower_accents", "bert_uncased", "byte_fallback", "byte_level",
                           "composed", "forms", "nmt", "roberta", "unigram", "word_ends"}) {
    tokenizers.emplace(name, load_golden_tokenizer(name));
  }
  tokenizers.emplace("minilm", Tokenizer::load(minilm_directory()));
  return tokenizers;
}

TEST(Tokenizer, IdsAreHuggingFaces) {
  const auto tokenizers = load_tokenizers();
  const std::vector<GoldenCase> cases = read_cases();
  ASSERT_GT(cases.size(), 1000u);
  for (const GoldenCase& expected : cases) {
    const Encoding encoding = tokenizers.at(expected.tokenizer).encode(expected.text, expected.options);
    EXPECT_EQ(encoding.ids, expected.ids) << expected.tokenizer << ": " << testing::PrintToString(expected.text);
    EXPECT_EQ(encoding.total_tokens, expected.total);
    EXPECT_EQ(encoding.truncated, encoding.ids.size() < static_cast<size_t>(expected.total));
    EXPECT_EQ(encoding.invalid_sequences, 0);
  }
}

TEST(Tokenizer, OneServesManyThreads) {
  const auto tokenizers = load_tokenizers();
  const std::vector<GoldenCase> cases = read_cases();
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (size_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      Encoding encoding;
      for (size_t i = 0; i < cases.size(); ++i) {
        const GoldenCase& expected = cases[(i + thread * cases.size() / 4) % cases.size()];
        tokenizers.at(expected.tokenizer).encode(expected.text, expected.options, encoding);
        wrong += encoding.ids != expected.ids;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Tokenizer, TruncationIsReported) {
  const Tokenizer tokenizer = load_golden_tokenizer("bert_uncased");
  const Encoding whole = tokenizer.encode("a b c d e");
  ASSERT_EQ(whole.ids.size(), 7u);
  EXPECT_FALSE(whole.truncated);
  const Encoding cut = tokenizer.encode("a b c d e", {.add_special_tokens = true, .max_length = 4});
  EXPECT_EQ(cut.ids, (std::vector{whole.ids[0], whole.ids[1], whole.ids[2], whole.ids[6]}));
  EXPECT_EQ(cut.total_tokens, 7);
  EXPECT_TRUE(cut.truncated);
  EXPECT_FALSE(tokenizer.encode("a b c d e", {.add_special_tokens = true, .max_length = 7}).truncated);
  EXPECT_TRUE(tokenizer.encode("a", {.add_special_tokens = false, .max_length = 0}).ids.empty());
}

TEST(Tokenizer, MaxLengthMustHoldTheSpecialTokens) {
  const Tokenizer tokenizer = load_golden_tokenizer("bert_uncased");
  for (const int64_t max_length : {int64_t{1}, int64_t{0}, int64_t{-1}, INT64_MIN}) {
    const Failure failure =
        failure_of([&] { tokenizer.encode("a", {.add_special_tokens = true, .max_length = max_length}); });
    EXPECT_EQ(failure.code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(failure.message, HasSubstr("max_length: expected at least 2"));
  }
}

TEST(Tokenizer, MalformedUtf8IsReadAsReplacementCharactersAndCounted) {
  const Tokenizer tokenizer = load_golden_tokenizer("bert_lower_accents");
  const Encoding encoding = tokenizer.encode("a\xFF\xE4\xB8z");
  EXPECT_EQ(encoding.invalid_sequences, 2);
  EXPECT_EQ(encoding.ids, tokenizer.encode("a\uFFFD\uFFFDz").ids);
  EXPECT_EQ(tokenizer.encode("a\uFFFD").invalid_sequences, 0);
}

TEST(Tokenizer, AnEncodingCanBeUsedAgain) {
  const Tokenizer tokenizer = load_golden_tokenizer("bert_uncased");
  Encoding encoding;
  tokenizer.encode("a b c \xFF", {.add_special_tokens = true, .max_length = 3}, encoding);
  tokenizer.encode("a", {}, encoding);
  EXPECT_EQ(encoding.ids, tokenizer.encode("a").ids);
  EXPECT_EQ(encoding.total_tokens, 3);
  EXPECT_FALSE(encoding.truncated);
  EXPECT_EQ(encoding.invalid_sequences, 0);
}

TEST(Tokenizer, TokensAndIdsBelongTogether) {
  const Tokenizer tokenizer = Tokenizer::load(minilm_directory());
  EXPECT_EQ(tokenizer.vocab_size(), 30522);
  EXPECT_EQ(tokenizer.model_max_length(), 512);
  EXPECT_GT(tokenizer.bytes(), 231'508u);
  EXPECT_LT(tokenizer.bytes(), 2'000'000u);
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    ASSERT_EQ(tokenizer.token_to_id(tokenizer.id_to_token(id).value()), id);
  }
  EXPECT_EQ(tokenizer.id_to_token(30522), std::nullopt);
  EXPECT_EQ(tokenizer.id_to_token(-1), std::nullopt);
  EXPECT_EQ(tokenizer.token_to_id("[CLS]"), 101);
  EXPECT_EQ(tokenizer.token_to_id("no such token"), std::nullopt);
}

double encoding_seconds(const Tokenizer& tokenizer, std::string_view unit, size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += unit;
  return processor_seconds([&] { EXPECT_EQ(tokenizer.encode(text).invalid_sequences, 0); });
}

// Times are judged against each other: a quadratic step would make the second sixteen times the first.
TEST(Tokenizer, ALineOfTenMegabytesTakesLinearTime) {
  const Tokenizer tokenizer = Tokenizer::load(minilm_directory());
  for (const char* unit : {"x", "lorem ipsum ", "[SEP] ", "é", "中", "\u0301", "[[[SEP", "  \u302F\u0334"}) {
    const double small = encoding_seconds(tokenizer, unit, 2'500'000);
    EXPECT_LT(encoding_seconds(tokenizer, unit, 10'000'000), 9 * small + 0.5) << unit;
  }
}

TEST(Tokenizer, LongPiecesTakeNearlyLinearTime) {
  for (const char* name : {"byte_level", "byte_fallback", "word_ends", "unigram", "nmt"}) {
    const Tokenizer tokenizer = load_golden_tokenizer(name);
    for (const char* unit : {"e", "lorem ipsum ", " ", "中", "\u0301", "<s>", "'", "\U0010FFFF"}) {
      const double small = encoding_seconds(tokenizer, unit, 60'000);
      EXPECT_LT(encoding_seconds(tokenizer, unit, 240'000), 9 * small + 0.3) << name << ": " << unit;
    }
  }
}

RC_GTEST_PROP(Tokenizer, AnyBytesGiveIdsOfTheVocabulary, (const std::vector<uint8_t>& bytes)) {
  static const Tokenizer tokenizer = load_golden_tokenizer("bert_uncased");
  const std::string text(bytes.begin(), bytes.end());
  const Encoding encoding = tokenizer.encode(text);
  for (const int32_t id : encoding.ids) RC_ASSERT(tokenizer.id_to_token(id).has_value());
  RC_ASSERT(encoding.total_tokens == std::ssize(encoding.ids));
}

// White space ends everything that reaches across characters.
RC_GTEST_PROP(Tokenizer, WordsAreIndependent, ()) {
  static const Tokenizer tokenizer = load_golden_tokenizer("bert_uncased");
  const auto word = rc::gen::nonEmpty(rc::gen::container<std::string>(rc::gen::elementOf(std::string("aBinst.,[]#"))));
  const std::string first = *word;
  const std::string second = *word;
  const EncodeOptions bare{.add_special_tokens = false, .max_length = {}};
  std::vector<int32_t> expected = tokenizer.encode(first, bare).ids;
  const std::vector<int32_t> rest = tokenizer.encode(second, bare).ids;
  expected.insert(expected.end(), rest.begin(), rest.end());
  RC_ASSERT(tokenizer.encode(first + " " + second, bare).ids == expected);
}

}  // namespace
}  // namespace remuda::text
