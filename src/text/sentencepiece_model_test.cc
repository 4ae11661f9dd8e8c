#include "text/sentencepiece_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/scratch_directory.h"
#include "text/sentencepiece_files.h"
#include "text/sentencepiece_test_support.h"
#include "text/test_support.h"

namespace remuda::text {
namespace {

using ::testing::HasSubstr;
using PieceType = SentencePieceModel::PieceType;

std::string refusal(std::string_view bytes) {
  const Failure failure = failure_of([&] { parse_sentencepiece_model(bytes, "x.model"); });
  EXPECT_EQ(failure.code, ErrorCode::kInvalidFile);
  EXPECT_THAT(failure.message, HasSubstr("x.model: "));
  return failure.message;
}

// What loading a directory with these bytes and a class says.
Failure load_failure(std::string_view bytes, std::string_view name, std::string_view file) {
  const ScratchDirectory directory;
  directory.write(std::string(file), bytes);
  directory.write("tokenizer_config.json", "{\"tokenizer_class\": \"" + std::string(name) + "\"}");
  return failure_of([&] { Tokenizer::load(directory.path()); });
}

TEST(SentencePieceModel, HasWhatTheFileSays) {
  std::string trainer = varint_field(3, 2) + varint_field(24, 1) + varint_field(35, 1) + varint_field(40, 7);
  // -1 takes ten bytes.
  trainer += varint_field(41, UINT64_MAX) + varint_field(42, 5) + varint_field(43, 3);
  trainer += bytes_field(45, "<u>") + bytes_field(46, "<b>") + bytes_field(47, "<e>") + bytes_field(48, "<p>");
  const std::string normalizer =
      bytes_field(1, "nfkc") + bytes_field(2, "map") + varint_field(3, 0) + varint_field(4, 0) + varint_field(5, 0);
  const std::string bytes = piece("a", -1.5f, 1) + piece("<b>", 0, 3) + bytes_field(2, trainer) +
                            bytes_field(3, normalizer) + piece("\xE2\x96\x81", -2, 4);
  const SentencePieceModel model = parse_sentencepiece_model(bytes, "x.model");
  ASSERT_EQ(model.pieces.size(), 3u);
  EXPECT_EQ(model.pieces[0].text, "a");
  EXPECT_EQ(model.pieces[0].score, -1.5f);
  EXPECT_EQ(model.pieces[0].type, PieceType::kNormal);
  EXPECT_EQ(model.pieces[1].type, PieceType::kControl);
  EXPECT_EQ(model.pieces[2].text, "\xE2\x96\x81");
  EXPECT_EQ(model.pieces[2].type, PieceType::kUserDefined);
  EXPECT_EQ(model.algorithm, SentencePieceModel::Algorithm::kBpe);
  EXPECT_TRUE(model.byte_fallback);
  EXPECT_TRUE(model.whitespace_as_suffix);
  EXPECT_EQ(model.unknown_id, 7);
  EXPECT_EQ(model.bos_id, -1);
  EXPECT_EQ(model.eos_id, 5);
  EXPECT_EQ(model.pad_id, 3);
  EXPECT_EQ(model.unknown_piece, "<u>");
  EXPECT_EQ(model.bos_piece, "<b>");
  EXPECT_EQ(model.eos_piece, "<e>");
  EXPECT_EQ(model.pad_piece, "<p>");
  EXPECT_EQ(model.character_map, "map");
  EXPECT_FALSE(model.add_dummy_prefix);
  EXPECT_FALSE(model.remove_extra_whitespaces);
  EXPECT_FALSE(model.escape_whitespaces);
}

TEST(SentencePieceModel, TakesDefaultsForWhatIsNotThere) {
  const std::string bytes = piece("a", 0, 1);
  const SentencePieceModel model = parse_sentencepiece_model(bytes, "x.model");
  EXPECT_EQ(model.algorithm, SentencePieceModel::Algorithm::kUnigram);
  EXPECT_EQ(model.unknown_id, 0);
  EXPECT_EQ(model.pad_id, -1);
  EXPECT_EQ(model.unknown_piece, "<unk>");
  EXPECT_TRUE(model.add_dummy_prefix);
  EXPECT_TRUE(model.character_map.empty());
}

TEST(SentencePieceModel, PassesOverWhatItDoesNotKnow) {
  std::string unknown = varint_field(99, 1) + bytes_field(1000, "x");
  unknown += tag(7, 1) + std::string(8, 'x') + tag(8, 5) + std::string(4, 'x');          // 64 and 32 bits.
  unknown += tag(9, 3) + varint_field(1, 1) + tag(2, 3) + tag(2, 4) + tag(9, 4);         // Groups.
  unknown += varint_field(1, 5) + tag(2, 5) + std::string(4, 'x') + varint_field(3, 3);  // Known, of another type.
  const std::string strange = bytes_field(1, bytes_field(1, "b") + varint_field(2, 9) + varint_field(3, 77));
  const std::string bytes = unknown + piece("a", 0, 1) + strange + unknown;
  const SentencePieceModel model = parse_sentencepiece_model(bytes, "x.model");
  ASSERT_EQ(model.pieces.size(), 2u);
  EXPECT_EQ(model.pieces[1].text, "b");
  EXPECT_EQ(model.pieces[1].score, 0);
  EXPECT_EQ(model.pieces[1].type, PieceType::kNormal);
}

TEST(SentencePieceModel, RefusesWhatIsDamaged) {
  const std::string good = piece("a", 0, 1);
  EXPECT_THAT(refusal(""), HasSubstr("expected pieces, found none in 0 bytes"));
  EXPECT_THAT(refusal(bytes_field(2, varint_field(3, 1))), HasSubstr("expected pieces, found none"));
  EXPECT_THAT(refusal("{\"model\": 1}"), HasSubstr("this is no SentencePiece model"));
  EXPECT_THAT(refusal(good + "\x80"), HasSubstr("the rest of a number"));
  EXPECT_THAT(refusal(good + std::string(11, '\xFF')), HasSubstr("a number of at most 10 bytes"));
  EXPECT_THAT(refusal(good + tag(1, 2)), HasSubstr("the rest of a number"));
  EXPECT_THAT(refusal(good + tag(1, 2) + varint(5) + "abcd"), HasSubstr("expected 5 bytes more, found 4"));
  // Lengths that are more than there is, or would wrap.
  EXPECT_THAT(refusal(good + tag(1, 2) + varint(UINT64_MAX)), HasSubstr("bytes more, found 0"));
  EXPECT_THAT(refusal(good + tag(1, 2) + varint(uint64_t{1} << 63)), HasSubstr("bytes more, found 0"));
  EXPECT_THAT(refusal(bytes_field(1, tag(1, 2) + varint(1000) + "a") + good), HasSubstr("expected 1000 bytes more"));
  EXPECT_THAT(refusal(bytes_field(1, tag(2, 5) + "ab")), HasSubstr("expected 4 bytes more, found 2"));
  EXPECT_THAT(refusal(good + tag(5, 6)), HasSubstr("expected a field, found the tag"));
  EXPECT_THAT(refusal(good + varint(0)), HasSubstr("expected a field, found the tag 0"));
  EXPECT_THAT(refusal(good + varint(uint64_t{1} << 40 | 8)), HasSubstr("expected a field"));
  EXPECT_THAT(refusal(good + tag(5, 4)), HasSubstr("the end of a group"));
  EXPECT_THAT(refusal(good + tag(5, 3) + tag(6, 4)), HasSubstr("that of another"));
  EXPECT_THAT(refusal(good + tag(5, 3)), HasSubstr("the rest of a number"));
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += tag(5, 3);
  EXPECT_THAT(refusal(good + deep), HasSubstr("at most 32 groups"));
  EXPECT_THAT(refusal(piece("a\xFF"
                            "b",
                            0, 1)),
              HasSubstr("at byte 4: expected a piece in UTF-8"));
}

TEST(SentencePieceModel, EveryTruncationIsRefusedOrRead) {
  const std::string bytes = read_sentencepiece_golden("bytes.model");
  for (size_t size = 0; size < bytes.size(); ++size) {
    try {
      EXPECT_FALSE(parse_sentencepiece_model(std::string_view(bytes).substr(0, size), "x.model").pieces.empty());
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidFile);
    }
  }
}

TEST(SentencePieceModel, MorePiecesThanAVocabularyHasAreRefused) {
  std::string bytes;
  for (int i = 0; i < (1 << 22) + 1; ++i) bytes += std::string_view("\x0A\0", 2);
  EXPECT_THAT(refusal(bytes), HasSubstr("expected at most 4194304 pieces"));
}

constexpr std::string_view kRoberta = "XLMRobertaTokenizer";
constexpr std::string_view kRobertaFile = "sentencepiece.bpe.model";

std::string three_pieces() { return piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3); }

TEST(SentencePieceModel, ScoresThatAreNoNumbersAreRefused) {
  for (const float score : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity()}) {
    const Failure failure = load_failure(three_pieces() + piece("a", score, 1), kRoberta, kRobertaFile);
    EXPECT_EQ(failure.code, ErrorCode::kInvalidFile);
    EXPECT_THAT(failure.message, HasSubstr("expected a number as the score of token 4"));
  }
}

TEST(SentencePieceModel, AnUnknownTokenThatIsNotThereIsRefused) {
  // XLNet's is the one that the file names.
  for (const uint64_t id : {uint64_t{3}, UINT64_MAX, uint64_t{0x7FFFFFFF}}) {
    const std::string bytes = three_pieces() + bytes_field(2, varint_field(40, id));
    const Failure failure = load_failure(bytes, "XLNetTokenizer", "spiece.model");
    EXPECT_EQ(failure.code, ErrorCode::kInvalidFile);
    EXPECT_THAT(failure.message, HasSubstr("expected the unknown token, by its id below 3, found"));
  }
  EXPECT_THAT(load_failure(piece("a", 0, 1), "AlbertTokenizer", "spiece.model").message, HasSubstr("unknown token"));
}

TEST(SentencePieceModel, ADamagedCharacterMapIsRefused) {
  for (const std::string& map : {std::string("x"), std::string("\xFF\xFF\xFF\xFF", 4), std::string(12, '\0'),
                                 std::string("\x04\0\0\0\0\0\0\0", 8)}) {
    const std::string bytes = three_pieces() + bytes_field(3, bytes_field(2, map));
    EXPECT_EQ(load_failure(bytes, kRoberta, kRobertaFile).code, ErrorCode::kInvalidFile);
  }
}

TEST(SentencePieceModel, PiecesThatAreTooLongAreRefused) {
  EXPECT_THAT(load_failure(three_pieces() + piece(std::string(5000, 'a'), 0, 1), kRoberta, kRobertaFile).message,
              HasSubstr("expected tokens of at most 4096 bytes"));
}

// Of pieces that are there twice the last one counts, to Python's dictionaries and to `tokenizers`' maps.
TEST(SentencePieceModel, TheLastOfTwoPiecesCounts) {
  const ScratchDirectory directory;
  directory.write(std::string(kRobertaFile), three_pieces() + piece("\xE2\x96\x81", -9, 1) + piece("a", -9, 1) +
                                                 piece("\xE2\x96\x81"
                                                       "a",
                                                       -1, 1) +
                                                 piece("a", -8, 1) +
                                                 piece("\xE2\x96\x81"
                                                       "a",
                                                       -2, 1));
  directory.write("tokenizer_config.json", R"({"tokenizer_class": "XLMRobertaTokenizer"})");
  const Tokenizer tokenizer = Tokenizer::load(directory.path());
  EXPECT_EQ(tokenizer.encode("a aa").ids, (std::vector<int32_t>{0, 8, 8, 7, 2}));
  EXPECT_EQ(tokenizer.id_to_token(5), "a");
  EXPECT_EQ(tokenizer.id_to_token(7), "a");
  EXPECT_EQ(tokenizer.token_to_id("a"), 7);
  EXPECT_EQ(tokenizer.vocab_size(), 10);
}

TEST(SentencePieceMerges, AreEveryWayToPartATokenInTwo) {
  Vocabulary vocabulary("test", 8);
  int32_t id = 0;
  for (const char* token : {"abc", "a", "b", "c", "ab", "bc", "\xC3\xA9", "a\xC3\xA9"}) vocabulary.add(token, id++);
  using Pair = Bpe::Pair;
  EXPECT_THAT(merges_of(vocabulary, "test"), testing::ElementsAre(Pair{"a", "bc"}, Pair{"ab", "c"}, Pair{"a", "b"},
                                                                  Pair{"b", "c"}, Pair{"a", "\xC3\xA9"}));
}

// A file could ask for more than any machine does in a minute: each piece parts into two others at each place.
TEST(SentencePieceMerges, AreNotSoughtForever) {
  std::string bytes;
  for (size_t size = 1; size <= 4096; ++size) bytes += piece(std::string(size, 'a'), 0, 1);
  Failure failure;
  EXPECT_LT(processor_seconds([&] { failure = load_failure(bytes, "LlamaTokenizer", "tokenizer.model"); }), 30);
  EXPECT_EQ(failure.code, ErrorCode::kInvalidFile);
  EXPECT_THAT(failure.message, HasSubstr("expected pieces like a vocabulary's"));
}

}  // namespace
}  // namespace remuda::text
