#include "text/vocabulary.h"

#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

#include <set>

#include "text/test_support.h"

namespace remuda::text {
namespace {

using ::testing::HasSubstr;

Failure failure_of_parsing(std::string_view json) {
  return failure_of([&] { parse_vocabulary(JsonDocument::parse(json, "t.json").root()); });
}

RC_GTEST_PROP(Vocabulary, FindsWhatWasAddedAndNothingElse, (const std::set<std::string>& tokens)) {
  Vocabulary vocabulary("test", 0);
  int32_t id = 0;
  for (const std::string& token : tokens) vocabulary.add(token, id += 3);
  RC_ASSERT(vocabulary.size() == tokens.size());
  id = 0;
  for (const std::string& token : tokens) {
    RC_ASSERT(vocabulary.find(token) == (id += 3));
    RC_ASSERT(vocabulary.token(id) == token);
    RC_ASSERT(vocabulary.token(id - 1) == std::nullopt);
    RC_ASSERT(vocabulary.find(token + "x").has_value() == tokens.contains(token + "x"));
  }
  RC_ASSERT(vocabulary.token(-1) == std::nullopt);
  RC_ASSERT(vocabulary.token(vocabulary.id_limit()) == std::nullopt);
}

TEST(Vocabulary, EmptyIsFine) {
  EXPECT_EQ(Vocabulary().find("a"), std::nullopt);
  EXPECT_EQ(Vocabulary("test", 0).find(""), std::nullopt);
}

TEST(Vocabulary, GrowsFarBeyondWhatWasExpected) {
  Vocabulary vocabulary("test", 1);
  for (int32_t id = 0; id < 100'000; ++id) vocabulary.add(std::to_string(id), id);
  for (int32_t id = 0; id < 100'000; ++id) ASSERT_EQ(vocabulary.find(std::to_string(id)), id);
  EXPECT_EQ(vocabulary.find("100000"), std::nullopt);
}

TEST(Vocabulary, RefusesIdsThatCannotBe) {
  EXPECT_THAT(failure_of_parsing(R"({"a": -1})").message,
              HasSubstr("t.json: expected ids from 0 to 4194303, found -1"));
  EXPECT_THAT(failure_of_parsing(R"({"a": 4194304})").message, HasSubstr("found 4194304 for \"a\""));
  EXPECT_THAT(failure_of_parsing(R"({"a": 1e3})").message, HasSubstr("a: expected an integer"));
  EXPECT_THAT(failure_of_parsing(R"({"a": 18446744073709551615})").message, HasSubstr("expected an integer"));
  EXPECT_THAT(failure_of_parsing(R"({"a": 7, "b": 7})").message,
              HasSubstr("each id once, found 7 for \"a\" and for \"b\""));
  EXPECT_THAT(failure_of_parsing(R"({"a": 7, "a": 8})").message, HasSubstr("each token once, found \"a\""));
  EXPECT_THAT(failure_of_parsing("{\"" + std::string(4097, 'a') + "\": 7}").message, HasSubstr("at most 4096 bytes"));
  EXPECT_EQ(failure_of_parsing(R"(["a"])").code, ErrorCode::kInvalidFile);
}

}  // namespace
}  // namespace remuda::text
