#include "base/suggest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace remuda {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(SuggestTest, NamesThatDifferInFewLettersTheClosestFirst) {
  const std::vector<std::string> known = {"summarize", "embed", "tokenize", "inspect", "demo"};
  EXPECT_THAT(close_names("embedd", known), ElementsAre("embed"));
  EXPECT_THAT(close_names("EMBED", known), ElementsAre("embed"));
  EXPECT_THAT(close_names("emebd", known), ElementsAre("embed"));
  EXPECT_THAT(close_names("sumarise", known), ElementsAre("summarize"));
  EXPECT_THAT(close_names("ab", std::vector<std::string>{"abcd", "abc", "abc", "a"}), ElementsAre("a", "abc"));
}

TEST(SuggestTest, NothingIsCloseToAnotherWord) {
  const std::vector<std::string> known = {"embed", "inspect"};
  EXPECT_THAT(close_names("rerank", known), IsEmpty());
  EXPECT_THAT(close_names("", known), IsEmpty());
  EXPECT_THAT(close_names(std::string(100'000, 'e'), known), IsEmpty());
}

}  // namespace
}  // namespace remuda
