// A BART on a GPU, the processor in its place (libremuda_cuda_on_host.so), by way of the arena: logits, ranked rows and
// memory.
#include "models/gpu_bart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>

#include "device/testing/test_libraries.h"
#include "generation/search_test_support.h"
#include "models/small_bart_test_support.h"
#include "remuda/error.h"

namespace remuda::models {
namespace {

constexpr const char* kGpu = "cuda:0";

// Before anybody looks for GPUs.
[[maybe_unused]] const int kLibraryIsOnHost =
    setenv("REMUDA_CUDA_LIBRARY", test_library("remuda_cuda_on_host").c_str(), 1) |
    setenv("REMUDA_DESCRIBED_GPUS", "GPU,9.0,4,4", 1);

uint64_t allocated() { return GpuArena::of(kGpu).stats().allocated; }

Ids numbers_up_to(size_t count) {
  Ids numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

// A document's next rows.
std::vector<StepRow> step_rows(const Ids& tokens, const Ids& parents) {
  std::vector<StepRow> rows;
  for (size_t i = 0; i < tokens.size(); ++i) rows.push_back({tokens[i], parents[i]});
  return rows;
}

class GpuBartTest : public testing::Test {
 protected:
  std::unique_ptr<const GpuBart> load(Precision precision) const {
    return std::make_unique<const GpuBart>(config_, *file_.checkpoint(), kGpu, precision);
  }

  static std::vector<std::unique_ptr<GpuBart::Document>> encode(GpuBart::Decoder& decoder, const std::vector<Ids>& ids,
                                                                const DecodeLimits& limits) {
    const Documents documents(ids);
    return decoder.encode({documents.ids, documents.offsets}, std::vector(ids.size(), limits));
  }

  // The logits of the steps of a document that is decoded by itself.
  std::vector<Logits> decode_on_cpu(const Ids& ids, const std::vector<std::vector<StepRow>>& steps) const {
    ComputePool pool(1);
    WorkspaceArena arena;
    const Bart bart(config_, file_.checkpoint(), Precision::kFp32, pool);
    const Documents one({ids});
    const DecodeLimits limits = {.max_rows = 4, .max_positions = 10};
    auto document = std::move(bart.encode({one.ids, one.offsets}, std::span(&limits, 1), arena, pool)[0]);
    std::vector<Logits> decoded;
    for (const std::vector<StepRow>& step : steps) {
      std::vector<DecodeRow> rows;
      for (const auto& [token, parent] : step) rows.push_back({&document, token, parent});
      decoded.push_back(decode_step(bart, rows, arena, pool));
    }
    return decoded;
  }

  io::BartConfig config_ = small_bart();
  BartFile file_{config_};
};

const std::vector<std::vector<StepRow>> kSteps = {{{2, -1}},
                                                  {{5, 0}, {7, 0}, {9, 0}},
                                                  {{1, 2}, {2, 2}, {3, 0}},
                                                  {{4, 1}, {5, 0}, {6, 1}},
                                                  {{8, 0}, {8, 1}, {8, 2}, {9, 2}}};

TEST_F(GpuBartTest, DecodesAsTheCpuDoesAndGivesItsMemoryBack) {
  const uint64_t before = allocated();
  {
    const auto bart = load(Precision::kFp32);
    GpuBart::Decoder decoder(*bart);
    const std::vector<Ids> ids = {some_ids(30, 1), some_ids(9, 2)};
    auto documents = encode(decoder, ids, {.max_rows = 4, .max_positions = 10});
    std::vector<std::vector<Logits>> expected;
    for (const Ids& each : ids) expected.push_back(decode_on_cpu(each, kSteps));
    // The second document is a step behind, and so ahead of the first one's last.
    for (size_t t = 0; t <= kSteps.size(); ++t) {
      std::vector<GpuBart::Decoder::Rows> step;
      Logits wanted;
      for (size_t d = 0; d < 2; ++d) {
        if (t < d || t - d >= kSteps.size()) continue;
        step.push_back({documents[d].get(), kSteps[t - d]});
        wanted.insert(wanted.end(), expected[d][t - d].begin(), expected[d][t - d].end());
      }
      decoder.step(step, {}, 0);
      const Logits found = rows_of(decoder.fetch_logits(numbers_up_to(wanted.size())));
      for (size_t row = 0; row < wanted.size(); ++row) {
        const auto [least, most] = std::ranges::minmax(wanted[row]);
        ASSERT_THAT(found[row], testing::Pointwise(testing::FloatNear(1e-4f * (most - least)), wanted[row]))
            << "step " << t << ", row " << row;
      }
    }
    documents.clear();
  }
  EXPECT_EQ(allocated(), before);
}

// Against the ranking's definition, applied to the logits.
TEST_F(GpuBartTest, RanksRowsAsDefined) {
  const auto bart = load(Precision::kFp16);
  GpuBart::Decoder decoder(*bart);
  const auto documents = encode(decoder, {some_ids(12, 3)}, {.max_rows = 4, .max_positions = 10});
  const Ids penalized = {3, 50, 100}, forbidden = some_ids(60, 8);
  const std::vector<RowRanking> rankings = {
      {.rules = {}, .rules_come_first = false},
      {.rules = {.penalized = penalized, .penalty = 1.5f, .forbidden = forbidden}, .rules_come_first = false},
      {.rules = {}, .rules_come_first = true},
      {.rules = {.penalized = penalized, .penalty = 2.0f, .forbidden = forbidden}, .rules_come_first = true}};
  const std::vector<StepRow> first = step_rows({1, 2, 3, 4}, {-1, -1, -1, -1});
  const std::vector<StepRow> later = step_rows({4, 2, 3, 1}, {3, 3, 0, 1});
  int steps = 0;
  for (const int64_t k : {9, 9, 9, 9, 100, 100, 100, 9}) {  // 100 is more than there is room for at first.
    const GpuBart::Decoder::Rows one = {documents[0].get(), steps++ == 0 ? first : later};
    const GpuBart::Decoder::Ranked ranked = decoder.step(std::span(&one, 1), rankings, k);
    const Logits logits = rows_of(decoder.fetch_logits(numbers_up_to(4)));
    for (size_t row = 0; row < 4; ++row) {
      const auto expected = rank_row(logits[row], rankings[row].rules, rankings[row].rules_come_first, k);
      for (size_t i = 0; i < static_cast<size_t>(k); ++i) {
        const size_t at = row * static_cast<size_t>(k) + i;
        ASSERT_EQ(ranked.tokens[at], expected[i].index) << "row " << row << ", place " << i;
        if (std::isinf(expected[i].score)) {
          ASSERT_EQ(ranked.scores[at], expected[i].score);
        } else {
          ASSERT_NEAR(ranked.scores[at], expected[i].score, 2e-5f);
        }
      }
    }
  }
  EXPECT_GT(decoder.replayed_steps(), 0u);
}

// More than are encoded at once; whichever documents are encoded beside it, one is the same.
TEST(GpuBartEncoding, ManyDocumentsAreEncodedInParts) {
  io::BartConfig config = small_bart();
  config.d_model = 16;
  config.encoder_layers = config.decoder_layers = 1;
  config.encoder_attention_heads = config.decoder_attention_heads = 1;
  config.encoder_ffn_dim = config.decoder_ffn_dim = 16;
  const BartFile file(config);
  const GpuBart bart(config, *file.checkpoint(), kGpu, Precision::kFp32);
  GpuBart::Decoder decoder(bart);
  std::vector<Ids> ids;
  for (uint32_t i = 0; i < 48; ++i) ids.push_back(some_ids(90 - i % 3, i));
  const Documents laid(ids);
  ASSERT_GT(laid.offsets.back(), BartMemory::kGpuEncodeTokens);
  const std::vector<DecodeLimits> limits(ids.size(), {.max_rows = 1, .max_positions = 1});
  const auto documents = decoder.encode({laid.ids, laid.offsets}, limits);
  for (const size_t each : {size_t{0}, size_t{45}, size_t{46}}) {
    const Documents one({ids[each]});
    const auto alone = decoder.encode({one.ids, one.offsets}, std::span(limits).first(1));
    const std::vector<StepRow> row = {{2, -1}};
    const std::vector<GpuBart::Decoder::Rows> step = {{documents[each].get(), row}, {alone[0].get(), row}};
    decoder.step(step, {}, 0);
    const Logits logits = rows_of(decoder.fetch_logits(numbers_up_to(2)));
    EXPECT_EQ(logits[0], logits[1]) << each;
  }
}

TEST_F(GpuBartTest, RefusesWhatItCannotDo) {
  const auto bart = load(Precision::kBf16);
  GpuBart::Decoder decoder(*bart);
  const auto refused = [](const std::string& what) { return testing::ThrowsMessage<Error>(testing::HasSubstr(what)); };
  const DecodeLimits limits = {.max_rows = 2, .max_positions = 2};
  EXPECT_THAT([&] { encode(decoder, {{1, 101}}, limits); }, refused("expected an id from 0 to 100, found 101"));
  EXPECT_THAT([&] { encode(decoder, {{1}, {}}, limits); }, refused("document 1: expected 1 to 90 tokens, found 0"));
  EXPECT_THAT([&] { encode(decoder, {some_ids(91, 1)}, limits); }, refused("found 91"));
  EXPECT_THAT([&] { encode(decoder, {{1}}, {.max_rows = 1, .max_positions = 91}); }, refused("sequences of 91 tokens"));
  EXPECT_THAT([&] { encode(decoder, {{1}}, {.max_rows = 0, .max_positions = 1}); }, refused("0 sequences"));
  EXPECT_THAT([&] { decoder.encode({}, std::span(&limits, 1)); }, testing::Throws<Error>());
  const auto documents = encode(decoder, {{1, 2, 3}}, limits);
  const auto step = [&](const Ids& tokens, const Ids& parents, int64_t k = 0) {
    const std::vector<StepRow> rows = step_rows(tokens, parents);
    const GpuBart::Decoder::Rows one = {documents[0].get(), rows};
    decoder.step(std::span(&one, 1), std::vector<RowRanking>(tokens.size()), k);
  };
  EXPECT_THAT([&] { step({101}, {-1}); }, refused("expected an id from 0 to 100, found 101"));
  EXPECT_THAT([&] { step({1}, {0}); }, refused("parent of a sequence"));
  EXPECT_THAT([&] { step({1, 2, 3}, {-1, -1, -1}); }, refused("expected 1 to 2 sequences, found 3"));
  EXPECT_THAT([&] { step({1}, {-1}, 102); }, refused("ranked tokens: expected 0 to 101, found 102"));
  EXPECT_THAT([&] { decoder.fetch_logits(Ids{0}); }, testing::Throws<Error>());
  step({1, 2}, {-1, -1});
  EXPECT_THAT([&] { decoder.fetch_logits(Ids{2}); }, testing::Throws<Error>());
  step({1}, {1});
  EXPECT_THAT([&] { step({1}, {0}); }, refused("it was made for 2 positions"));
}

// Of a model like those that there are, but for its number of layers.
TEST(GpuBartMemory, IsWhatIsSaidBeforeAModelIsLoaded) {
  io::BartConfig config = small_bart();
  config.vocab_size = 5003;
  config.d_model = 256;
  config.encoder_attention_heads = config.decoder_attention_heads = 4;
  config.encoder_ffn_dim = config.decoder_ffn_dim = 1024;
  config.max_position_embeddings = 1024;
  const BartFile file(config);
  for (const Precision precision : {Precision::kFp32, Precision::kFp16}) {
    const GpuBart bart(config, *file.checkpoint(), kGpu, precision);
    const BartMemory memory(config, precision, DeviceKind::kGpu);
    const auto expect_near = [](uint64_t estimate, uint64_t found, const std::string& what) {
      EXPECT_NEAR(static_cast<double>(estimate) / static_cast<double>(found), 1, 0.1) << what;
    };
    for (const int64_t tokens : {50, 1000, 9000})
      expect_near(memory.encode(tokens), bart.encode_bytes(tokens), "encode");
    for (const int64_t rows : {1, 4, 5, 100}) {
      expect_near(memory.step(rows) + memory.logits(rows), bart.step_bytes(rows), "step of " + std::to_string(rows));
    }
    for (const DecodeLimits& limits : {DecodeLimits{1, 20}, DecodeLimits{4, 142}}) {
      expect_near(memory.cross_attention(600) + memory.cache(limits), bart.document_bytes(600, limits), "document");
    }
    // What is taken, and stays, is what was said.
    const uint64_t before = allocated();
    GpuBart::Decoder decoder(bart);
    const Ids ids = some_ids(20, 1);
    const std::vector<int64_t> offsets = {0, 20};
    const DecodeLimits limits = {.max_rows = 4, .max_positions = 30};
    const auto documents = decoder.encode({ids, offsets}, std::span(&limits, 1));
    EXPECT_EQ(allocated() - before, bart.document_bytes(20, limits));
    const std::vector<StepRow> rows = {{2, -1}, {3, -1}, {4, -1}};
    const GpuBart::Decoder::Rows one = {documents[0].get(), rows};
    decoder.step(std::span(&one, 1), {}, 0);
    EXPECT_EQ(allocated() - before, bart.document_bytes(20, limits) + bart.step_bytes(3));
  }
}

}  // namespace
}  // namespace remuda::models
