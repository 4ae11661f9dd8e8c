#include "base/json.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>

#include "base/sanitizer_test_support.h"
#include "remuda/error.h"

namespace remuda {
namespace {

using ::testing::HasSubstr;

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidFile);
    return error.what();
  }
  return "no error";
}

TEST(Json, ReadsEveryType) {
  const auto document =
      JsonDocument::parse(R"({"a": 1, "b": -2.5, "c": "x\u0000y", "d": [true, null], "e": {"f": 3}})", "test.json");
  const JsonValue root = document.root();
  EXPECT_EQ(root.at("a").as_int(), 1);
  EXPECT_EQ(root.at("b").as_double(), -2.5);
  EXPECT_EQ(root.at("c").as_string(), std::string_view("x\0y", 3));
  EXPECT_TRUE(root.at("d").items()[0].as_bool());
  EXPECT_TRUE(root.at("d").items()[1].is_null());
  EXPECT_EQ(root.at("e").int_or("f", 0, 0, 9), 3);
  EXPECT_EQ(root.int_or("missing", 7, 0, 9), 7);
  EXPECT_EQ(root.members()[1].first, "b");
}

TEST(Json, ErrorsNameFileAndPath) {
  const auto document = JsonDocument::parse(R"({"layers": [{"size": "big"}], "n": 5})", "test.json");
  const JsonValue root = document.root();
  EXPECT_EQ(message_of([&] { root.at("layers").items()[0].at("size").as_int(); }),
            "test.json: layers[0].size: expected an integer, found \"big\"");
  EXPECT_EQ(message_of([&] { root.at("n").as_int(0, 4); }), "test.json: n: expected an integer from 0 to 4, found 5");
  EXPECT_EQ(message_of([&] { root.at("m"); }), "test.json: expected a field \"m\", found none");
}

TEST(Json, RefusesWhatIsNotJson) {
  EXPECT_THAT(message_of([] { JsonDocument::parse("{\"a\": ", "cut.json"); }), HasSubstr("cut.json"));
  EXPECT_THAT(message_of([] { JsonDocument::parse("", "empty.json"); }), HasSubstr("empty.json"));
  const std::string deep = std::string(100, '[') + std::string(100, ']');
  EXPECT_THAT(message_of([&] { JsonDocument::parse(deep, "deep.json"); }), HasSubstr("deeper than 64"));
}

// Hugging Face writes 10^30 for "no limit".
TEST(Json, IntegersBeyond64BitsAreDoubles) {
  const auto document = JsonDocument::parse(
      R"({"a": 1000000000000000019884624838656, "b": [-1000000000000000019884624838656, 9223372036854775807, 0.10000000000000000000000001,
          1e-00000000000000000000000001], "10000000000000000000000000": "\"20000000000000000000000000"})",
      "test.json");
  const JsonValue root = document.root();
  EXPECT_EQ(root.at("a").as_double(), 1e30);
  EXPECT_EQ(message_of([&] { root.at("a").as_int(); }), "test.json: a: expected an integer, found 1e+30");
  EXPECT_EQ(root.at("b").items()[0].as_double(), -1e30);
  EXPECT_EQ(root.at("b").items()[1].as_int(), INT64_MAX);
  EXPECT_EQ(root.at("b").items()[2].as_double(), 0.1);
  EXPECT_EQ(root.at("b").items()[3].as_double(), 0.1);
  EXPECT_EQ(root.at("10000000000000000000000000").as_string(), "\"20000000000000000000000000");
  EXPECT_THAT(message_of([] { JsonDocument::parse("[1.e30]", "bad.json"); }), HasSubstr("bad.json"));
}

// Python's json writes and reads floats that are not finite, which JSON has no text for.
TEST(Json, TakesNanAndInfinityAsPythonDoes) {
  const auto document = JsonDocument::parse(
      R"({"a": NaN, "b": [Infinity, -Infinity,NaN], "c": "NaN, \"-Infinity", "NaN": 1, "d": -1.5e3})", "test.json");
  const JsonValue root = document.root();
  EXPECT_TRUE(std::isnan(root.at("a").as_double()));
  EXPECT_EQ(root.at("a").type(), JsonValue::Type::kNumber);
  EXPECT_EQ(root.at("b").items()[0].as_double(), std::numeric_limits<double>::infinity());
  EXPECT_EQ(root.at("b").items()[1].as_double(), -std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(root.at("b").items()[2].as_double()));
  EXPECT_EQ(root.at("c").as_string(), "NaN, \"-Infinity");
  EXPECT_EQ(root.at("NaN").as_int(), 1);
  EXPECT_EQ(root.at("d").as_double(), -1500.0);
  EXPECT_EQ(message_of([&] { root.at("a").as_int(); }), "test.json: a: expected an integer, found NaN");
  EXPECT_EQ(message_of([&] { root.at("b").items()[1].as_string(); }),
            "test.json: b[1]: expected a string, found -Infinity");
  for (const char* text : {"[nan]", "[-NaN]", "[NaNs]", "[1Infinity]", "[inf]", "[Infinity"}) {
    EXPECT_THAT(message_of([text] { JsonDocument::parse(text, "bad.json"); }), HasSubstr("bad.json")) << text;
  }
}

// An object of numbers and texts of at least so many bytes.
std::string object_of(size_t bytes) {
  std::string text = "{";
  for (int64_t i = 0; text.size() < bytes; ++i)
    text += fmt::format(R"("key {0}": {0}, "text {0}": "{1}", )", i, "a\\n");
  return text + R"("last": 100000000000000000000})";
}

// Small texts, those that are parsed in mapped memory, and those that are larger than that.
TEST(Json, ReadsTextsOfAllSizes) {
  for (const size_t bytes : {1u << 10, 65u << 10, 1u << 20, 21u << 20}) {
    const auto document = JsonDocument::parse(object_of(bytes), "test.json");
    const auto members = document.root().members();
    EXPECT_EQ(members[0].first, "key 0");
    EXPECT_EQ(members[members.size() - 2].second.as_string(), "a\n") << bytes;
    EXPECT_EQ(members[members.size() - 3].second.as_int(), std::ssize(members) / 2 - 1) << bytes;
    EXPECT_EQ(document.root().at("last").as_double(), 1e20) << bytes;
  }
}

#ifndef REMUDA_SANITIZED
// The parser's generous mapping is no more than a wish.
TEST(JsonDeathTest, ParsesWhereAddressSpaceIsShort) {
  const std::string text = object_of(1 << 20);
  const auto parse_with_little = [&text] {
    uint64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const rlim_t limit = pages * 4096 + (64 << 20);
    const rlimit little{.rlim_cur = limit, .rlim_max = limit};
    setrlimit(RLIMIT_AS, &little);
    const auto document = JsonDocument::parse(text, "test.json");
    std::_Exit(document.root().members()[0].first == "key 0" ? 0 : 1);
  };
  EXPECT_EXIT(parse_with_little(), ::testing::ExitedWithCode(0), "");
}
#endif

}  // namespace
}  // namespace remuda
