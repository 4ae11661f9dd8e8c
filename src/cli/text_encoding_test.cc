#include "cli/text_encoding.h"

#include <gtest/gtest.h>

namespace remuda::cli {
namespace {

using namespace std::string_literals;

std::string repaired(std::string json, int64_t expected) {
  EXPECT_EQ(repair_surrogates(json), expected) << json;
  return json;
}

TEST(TextEncoding, HalvesOfSurrogatePairsInJson) {
  EXPECT_EQ(repaired(R"({"text": "a\ud83d b"})", 1), R"({"text": "a\ufffd b"})");
  EXPECT_EQ(repaired(R"("\uD83D\uDE00")", 0), R"("\uD83D\uDE00")");
  EXPECT_EQ(repaired(R"("\ude00\ud83d")", 2), R"("\ufffd\ufffd")");
  EXPECT_EQ(repaired(R"("\ud83d\ud83d\ude00")", 1), R"("\ufffd\ud83d\ude00")");
  EXPECT_EQ(repaired(R"("\ud83d\n")", 1), R"("\ufffd\n")");
  // A backslash that is escaped itself, and what is cut short.
  EXPECT_EQ(repaired(R"("\\ud83d")", 0), R"("\\ud83d")");
  EXPECT_EQ(repaired(R"("\\\ud83d")", 1), R"("\\\ufffd")");
  EXPECT_EQ(repaired(R"("\ud83)", 0), R"("\ud83)");
  EXPECT_EQ(repaired(R"("\ud8-1")", 0), R"("\ud8-1")");
  EXPECT_EQ(repaired("\\", 0), "\\");
}

TEST(TextEncoding, Utf16OfBothByteOrders) {
  for (const bool big : {false, true}) {
    // "é€😀", a low half, "x", and a high half at the end.
    std::string bytes;
    for (const int unit : {0xE9, 0x20AC, 0xD83D, 0xDE00, 0xDE00, 0x78, 0xD83D}) {
      const char high = static_cast<char>(unit >> 8), low = static_cast<char>(unit & 0xFF);
      bytes += big ? std::string{high, low} : std::string{low, high};
    }
    Utf16Decoder decoder(big);
    std::string out;
    for (const char byte : bytes) decoder.decode({&byte, 1}, out);
    decoder.finish(out);
    EXPECT_EQ(out, "é€😀\xEF\xBF\xBDx\xEF\xBF\xBD");
    EXPECT_EQ(decoder.malformed(), 2);
  }
}

TEST(TextEncoding, Signatures) {
  EXPECT_EQ(find_signature("\xEF\xBB\xBFtext")->kind, Signature::Kind::kUtf8);
  EXPECT_EQ(find_signature("\xFF\xFE"
                           "a\0"s)
                ->kind,
            Signature::Kind::kUtf16Little);
  EXPECT_STREQ(find_signature("\xFF\xFE\0\0"s)->name, "UTF-32");
  EXPECT_STREQ(find_signature("\x1F\x8B\x08")->name, "gzip");
  EXPECT_EQ(find_signature("B"), nullptr);
  EXPECT_EQ(find_signature(""), nullptr);
  EXPECT_TRUE(may_become_signature("\xEF"));
  EXPECT_TRUE(may_become_signature("\xFF\xFE"));
  EXPECT_FALSE(may_become_signature("B\n"));
}

}  // namespace
}  // namespace remuda::cli
