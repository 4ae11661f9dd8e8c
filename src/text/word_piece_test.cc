#include "text/word_piece.h"

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

Vocabulary make_vocabulary(const std::vector<std::string>& tokens) {
  Vocabulary vocabulary("test", tokens.size());
  for (const std::string& token : tokens) vocabulary.add(token, static_cast<int64_t>(vocabulary.size()));
  return vocabulary;
}

WordPiece make_model(const std::vector<std::string>& tokens, int64_t limit = 100, std::string prefix = "##") {
  return WordPiece(make_vocabulary(tokens), {"[UNK]", std::move(prefix), limit}, "test");
}

Ids ids_of(const WordPiece& model, std::string_view piece) {
  Ids ids;
  model.tokenize(piece, ids);
  return ids;
}

TEST(WordPiece, TakesTheLongestTokenThatFits) {
  const WordPiece model = make_model({"[UNK]", "un", "##aff", "##able", "##a", "una", "##f", "##ffable"});
  EXPECT_THAT(ids_of(model, "unaffable"), ElementsAre(5, 7));
  EXPECT_THAT(ids_of(model, "una"), ElementsAre(5));
  EXPECT_THAT(ids_of(model, "unable"), ElementsAre(0));  // Greedy: "una", and then no "##ble".
}

TEST(WordPiece, AContinuationIsNotAStart) {
  const WordPiece model = make_model({"[UNK]", "a", "##b", "##"});
  EXPECT_THAT(ids_of(model, "ab"), ElementsAre(1, 2));
  EXPECT_THAT(ids_of(model, "ba"), ElementsAre(0));
  EXPECT_THAT(ids_of(model, "##b"), ElementsAre(2));  // As a word, "##b" is a token like any other.
}

TEST(WordPiece, AWordOverTheLimitIsUnknown) {
  const WordPiece model = make_model({"[UNK]", "é", "##é"}, 3);
  EXPECT_THAT(ids_of(model, "ééé"), ElementsAre(1, 2, 2));
  EXPECT_THAT(ids_of(model, "éééé"), ElementsAre(0));
}

TEST(WordPiece, KeepsTheIdsBeforeAnUnknownWord) {
  const WordPiece model = make_model({"[UNK]", "a", "##b"});
  Ids ids = {7};
  model.tokenize("abc", ids);
  EXPECT_THAT(ids, ElementsAre(7, 0));
}

TEST(WordPiece, NeedsItsUnknownTokenForAWordThatIsUnknown) {
  const WordPiece model = make_model({"a"});
  Ids ids;
  model.tokenize("a", ids);
  EXPECT_THAT(ids, ElementsAre(0));
  const Failure failure = failure_of([&] { model.tokenize("b", ids); });
  EXPECT_EQ(failure.code, ErrorCode::kUnsupported);
  EXPECT_THAT(failure.message, HasSubstr("test: expected the unknown token \"[UNK]\""));
}

// The algorithm as the BERT paper's code has it, with a std::map and substrings.
Ids reference(const std::vector<std::string>& tokens, const std::string& word, const std::string& prefix) {
  std::map<std::string, int32_t> ids;
  for (const std::string& token : tokens) ids.emplace(token, static_cast<int32_t>(ids.size()));
  Ids found;
  for (size_t begin = 0; begin < word.size();) {
    size_t end = word.size();
    while (end > begin && !ids.contains((begin > 0 ? prefix : "") + word.substr(begin, end - begin))) --end;
    if (end == begin) return {0};
    found.push_back(ids.at((begin > 0 ? prefix : "") + word.substr(begin, end - begin)));
    begin = end;
  }
  return found;
}

RC_GTEST_PROP(WordPiece, AgreesWithTheReference, ()) {
  const auto word = rc::gen::nonEmpty(rc::gen::container<std::string>(rc::gen::elementOf(std::string("abc"))));
  std::vector<std::string> tokens = {"[UNK]"};
  const std::string prefix = *rc::gen::element<std::string>("##", "", "a");
  const auto drawn =
      *rc::gen::container<std::vector<std::pair<bool, std::string>>>(rc::gen::pair(rc::gen::arbitrary<bool>(), word));
  for (const auto& [continuation, text] : drawn) {
    const std::string token = (continuation ? prefix : "") + text;
    if (std::find(tokens.begin(), tokens.end(), token) == tokens.end()) tokens.push_back(token);
  }
  const WordPiece model = make_model(tokens, 1000, prefix);
  const std::string text = *word;
  RC_ASSERT(ids_of(model, text) == reference(tokens, text, prefix));
}

}  // namespace
}  // namespace remuda::text
