#include "text/bpe.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

#include <atomic>
#include <map>
#include <thread>

#include "text/byte_level.h"
#include "text/test_support.h"
#include "text/utf8.h"

namespace remuda::text {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Ids = std::vector<int32_t>;

Vocabulary make_vocabulary(const std::vector<std::string>& tokens) {
  Vocabulary vocabulary("test", tokens.size());
  for (size_t id = 0; id < tokens.size(); ++id) vocabulary.add(tokens[id], static_cast<int64_t>(id));
  return vocabulary;
}

Ids ids_of(const Model& model, std::string_view piece) {
  Ids ids;
  model.tokenize(piece, ids);
  return ids;
}

TEST(Bpe, MergesTheFirstOfTheListNotTheFirstOfThePiece) {
  const Bpe model(make_vocabulary({"a", "b", "c", "ab", "bc", "abc"}), {{"b", "c"}, {"a", "b"}, {"a", "bc"}}, {},
                  "test");
  EXPECT_THAT(ids_of(model, "abc"), ElementsAre(5));
  EXPECT_THAT(ids_of(model, "abab"), ElementsAre(3, 3));
  EXPECT_THAT(ids_of(model, "aabcb"), ElementsAre(0, 5, 1));
}

TEST(Bpe, WhatIsUnknownFallsToBytesIsOneTokenOrDisappears) {
  const std::vector<std::string> tokens = {"<unk>", "a", "<0xC3>", "<0xA9>"};
  Bpe::Options options;
  EXPECT_THAT(ids_of(Bpe(make_vocabulary(tokens), {}, options, "test"), "axéa"), ElementsAre(1, 1));
  options.unknown_token = "<unk>";
  EXPECT_THAT(ids_of(Bpe(make_vocabulary(tokens), {}, options, "test"), "axéa"), ElementsAre(1, 0, 0, 1));
  options.fuse_unknown = true;
  EXPECT_THAT(ids_of(Bpe(make_vocabulary(tokens), {}, options, "test"), "axéa"), ElementsAre(1, 0, 1));
  options.byte_fallback = true;
  // Hugging Face puts the bytes before the unknown token that stands before them.
  EXPECT_THAT(ids_of(Bpe(make_vocabulary(tokens), {}, options, "test"), "axéa"), ElementsAre(1, 2, 3, 0, 1));
}

TEST(Bpe, AffixesAndWholePieces) {
  Bpe::Options options;
  options.continuation_prefix = "##";
  options.end_of_word_suffix = "</w>";
  const Bpe model(make_vocabulary({"a", "##b", "##b</w>", "ab", "ab</w>", "a</w>"}), {{"a", "##b</w>"}}, options,
                  "test");
  EXPECT_THAT(ids_of(model, "ab"), ElementsAre(4));
  EXPECT_THAT(ids_of(model, "abb"), ElementsAre(0, 1, 2));
  EXPECT_THAT(ids_of(model, "a"), ElementsAre(5));
  Bpe::Options whole;
  whole.ignore_merges = true;
  EXPECT_THAT(ids_of(Bpe(make_vocabulary({"a", "b", "ab"}), {}, whole, "test"), "ab"), ElementsAre(2));
}

TEST(Bpe, ABadVocabularyIsNamed) {
  const auto message = [](LargeVector<Bpe::Pair> merges, Bpe::Options options) {
    const Failure failure = failure_of([&] { Bpe(make_vocabulary({"a", "b"}), merges, options, "m.json"); });
    EXPECT_EQ(failure.code, ErrorCode::kInvalidFile);
    return failure.message;
  };
  EXPECT_THAT(message({{"a", "x"}}, {}),
              HasSubstr("m.json: merge 0 (\"a\" and \"x\"): expected the token \"x\" in the"));
  EXPECT_THAT(message({{"a", "b"}}, {}), HasSubstr("expected the token \"ab\" in the vocabulary, found none"));
  Bpe::Options options;
  options.unknown_token = "<unk>";
  EXPECT_THAT(message({}, options), HasSubstr("m.json: expected the unknown token \"<unk>\""));
  options = {};
  options.continuation_prefix = "##";
  EXPECT_THAT(message({{"a", "b"}}, options), HasSubstr("expected \"b\" to begin with the continuing_subword_prefix"));
}

// The definition: join the pair of the lowest rank, the leftmost, until there is none.
Ids reference(const std::map<std::pair<std::string, std::string>, int>& ranks, std::vector<std::string> parts,
              const Vocabulary& vocabulary) {
  while (true) {
    size_t best = parts.size();
    int lowest = INT32_MAX;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto found = ranks.find({parts[i], parts[i + 1]});
      if (found != ranks.end() && found->second < lowest) {
        lowest = found->second;
        best = i;
      }
    }
    if (best == parts.size()) break;
    parts[best] += parts[best + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
  Ids ids;
  for (const std::string& part : parts) ids.push_back(*vocabulary.find(part));
  return ids;
}

// Short pieces and long ones, which go different ways, and each twice, for the cache.
RC_GTEST_PROP(Bpe, AgreesWithTheDefinition, ()) {
  std::vector<std::string> tokens = {"a", "b", "c"};
  std::map<std::pair<std::string, std::string>, int> ranks;
  const auto count = *rc::gen::inRange(0, 30);
  for (int i = 0; i < count; ++i) {
    const std::string left = *rc::gen::elementOf(tokens);
    const std::string right = *rc::gen::elementOf(tokens);
    if (left.size() + right.size() > 20 || !ranks.emplace(std::pair(left, right), i).second) continue;
    if (std::find(tokens.begin(), tokens.end(), left + right) == tokens.end()) tokens.push_back(left + right);
  }
  std::vector<std::pair<int, Bpe::Pair>> ordered;
  for (const auto& [pair, rank] : ranks) ordered.push_back({rank, {pair.first, pair.second}});
  std::sort(ordered.begin(), ordered.end());
  LargeVector<Bpe::Pair> merges;
  for (const auto& [rank, pair] : ordered) merges.push_back(pair);
  const Vocabulary vocabulary = make_vocabulary(tokens);
  const Bpe model(make_vocabulary(tokens), merges, {}, "test");
  const int length = *rc::gen::element(3, 20, 48, 49, 200);
  const auto piece = *rc::gen::container<std::string>(static_cast<size_t>(length), rc::gen::element('a', 'b', 'c'));
  std::vector<std::string> parts;
  for (const char c : piece) parts.emplace_back(1, c);
  const Ids expected = reference(ranks, parts, vocabulary);
  RC_ASSERT(ids_of(model, piece) == expected);
  RC_ASSERT(ids_of(model, piece) == expected);
}

TEST(Bpe, LongPiecesTakeNearlyLinearTime) {
  const Bpe model(make_vocabulary({"a", "aa", "aaaa"}), {{"a", "a"}, {"aa", "aa"}}, {}, "test");
  const auto seconds = [&](size_t bytes) {
    return processor_seconds([&] { EXPECT_EQ(ids_of(model, std::string(bytes, 'a')).size(), bytes / 4); });
  };
  const double small = seconds(200'000);
  EXPECT_LT(seconds(800'000), 9 * small + 0.5);
}

TEST(PieceCache, KnowsWhatItWasToldOrNothing) {
  const PieceCache cache;
  Ids ids = {7};
  EXPECT_FALSE(cache.find("word", ids));
  cache.insert("word", Ids{1, 2});
  EXPECT_TRUE(cache.find("word", ids));
  EXPECT_THAT(ids, ElementsAre(7, 1, 2));
  EXPECT_FALSE(cache.find("wor", ids));
  EXPECT_FALSE(cache.find(std::string_view("word\0", 5), ids));
  const std::string longest(PieceCache::kMaxPieceBytes, 'x');
  cache.insert(longest, Ids(PieceCache::kMaxIds, 3));
  EXPECT_TRUE(cache.find(longest, ids));
  cache.insert(longest + "x", Ids{4});
  EXPECT_FALSE(cache.find(longest + "x", ids));
  cache.insert("many", Ids(PieceCache::kMaxIds + 1, 3));
  EXPECT_FALSE(cache.find("many", ids));
  cache.insert("none", {});
  EXPECT_TRUE(cache.find("none", ids));
}

// Far more pieces than slots, from several threads: each hit must be the piece's own.
TEST(PieceCache, ManyThreadsNeverMixPieces) {
  const PieceCache cache;
  std::atomic<int> hits = 0;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      uint32_t random = static_cast<uint32_t>(thread) + 1;
      Ids ids;
      for (int i = 0; i < 200'000; ++i) {
        random = random * 1664525 + 1013904223;
        const uint32_t number = random >> 15;
        const std::string piece = fmt::format("piece {}", number);
        const Ids expected(1 + number % PieceCache::kMaxIds, static_cast<int32_t>(number));
        ids.clear();
        if (cache.find(piece, ids)) {
          ++hits;
          wrong += ids != expected;
        } else {
          cache.insert(piece, expected);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(hits, 1000);
}

TEST(ByteLevel, EachByteHasItsCharacter) {
  for (int value = 0; value < 256; ++value) {
    const char byte = static_cast<char>(value);
    std::string character;
    append_byte_characters(character, {&byte, 1});
    size_t position = 0;
    EXPECT_EQ(byte_of_character(next_code_point(character, position)), byte);
    EXPECT_EQ(position, character.size());
  }
  EXPECT_EQ(byte_of_character(' '), std::nullopt);
  EXPECT_EQ(byte_of_character(0x144), std::nullopt);
  EXPECT_EQ(byte_of_character(0x10FFFF), std::nullopt);
}

std::vector<std::string> gpt2_split(std::string_view text) {
  std::vector<Span> spans;
  split_as_gpt2(text, {0, static_cast<uint32_t>(text.size())}, spans);
  std::vector<std::string> pieces;
  for (const auto [begin, end] : spans) pieces.emplace_back(text.substr(begin, end - begin));
  return pieces;
}

TEST(ByteLevel, SplitsAsTheExpressionDoes) {
  EXPECT_THAT(gpt2_split("I'll've 'so''s"), ElementsAre("I", "'ll", "'ve", " '", "so", "''", "s"));
  EXPECT_THAT(gpt2_split("a  b\n\nc \n"), ElementsAre("a", " ", " b", "\n", "\n", "c", " \n"));
  EXPECT_THAT(gpt2_split("x1½ ²!?é\u0301"), ElementsAre("x", "1½", " ²", "!?", "é", "\u0301"));
  EXPECT_THAT(gpt2_split("\u00A0\u00A0a \u3000"), ElementsAre("\u00A0", "\u00A0", "a", " \u3000"));
  EXPECT_THAT(gpt2_split("'"), ElementsAre("'"));
  EXPECT_THAT(gpt2_split(" "), ElementsAre(" "));
}

RC_GTEST_PROP(ByteLevel, PiecesCoverTheText, (const std::vector<uint8_t>& bytes)) {
  std::string text(bytes.begin(), bytes.end());
  std::string repaired;
  if (repair_utf8(text, repaired) > 0) text = repaired;
  std::string joined;
  for (const std::string& piece : gpt2_split(text)) {
    RC_ASSERT(!piece.empty());
    joined += piece;
  }
  RC_ASSERT(joined == text);
}

}  // namespace
}  // namespace remuda::text
