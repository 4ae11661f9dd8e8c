// The GPU's BART, run on the processor (kernels/cuda/testing), against the CPU's: all that is left to a GPU is its own
// instructions and cuBLASLt.
#include "models/cuda/bart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "models/bart.h"
#include "models/cuda/bart_test_support.h"

namespace remuda::models {
namespace {

using Logits = std::vector<std::vector<float>>;

// The logits of each step of a script.
std::vector<Logits> play_on_cpu(const io::BartConfig& config, const BartFile& file, const Script& script) {
  ComputePool pool(1);
  WorkspaceArena arena;
  const Bart bart(config, file.checkpoint(), Precision::kFp32, pool);
  std::vector<std::optional<BartDocument>> documents(script.documents.size());
  const DecodeLimits limits = {.max_rows = script.max_rows, .max_positions = script.limits().max_positions};
  std::vector<Logits> played;
  for (const std::vector<Script::Rows>& step : script.steps) {
    std::vector<DecodeRow> rows;
    for (const Script::Rows& each : step) {
      std::optional<BartDocument>& document = documents[each.document];
      if (!document) {
        const Documents one({script.documents[each.document]});
        document.emplace(std::move(bart.encode({one.ids, one.offsets}, std::span(&limits, 1), arena, pool)[0]));
      }
      for (size_t i = 0; i < each.tokens.size(); ++i) rows.push_back({&*document, each.tokens[i], each.parents[i]});
    }
    FloatTensor logits({std::ssize(rows), config.vocab_size});
    bart.decode_step(rows, {logits.data(), std::ssize(rows), config.vocab_size}, arena, pool);
    Logits& of_step = played.emplace_back();
    for (size_t i = 0; i < rows.size(); ++i) {
      const float* const row = logits.data() + static_cast<int64_t>(i) * config.vocab_size;
      of_step.emplace_back(row, row + config.vocab_size);
    }
  }
  return played;
}

// Documents that begin at the same step are encoded together.
std::vector<Logits> play_on_gpu(BartOnHost& bart, const Script& script) {
  std::vector<std::unique_ptr<BartOnHost::Document>> documents(script.documents.size());
  std::vector<Logits> played;
  for (size_t t = 0; t < script.steps.size(); ++t) {
    std::vector<size_t> joining;
    std::vector<Ids> ids;
    for (size_t d = 0; d < documents.size(); ++d) {
      if (script.leaves[d] == t) documents[d].reset();
      if (script.joins[d] != t) continue;
      joining.push_back(d);
      ids.push_back(script.documents[d]);
    }
    if (!joining.empty()) {
      auto encoded = bart.encode(ids, script.limits());
      for (size_t i = 0; i < joining.size(); ++i) documents[joining[i]] = std::move(encoded[i]);
    }
    std::vector<BartOnHost::Rows> rows;
    for (const Script::Rows& each : script.steps[t]) {
      rows.push_back({documents[each.document].get(), each.tokens, each.parents});
    }
    bart.step(rows);
    played.push_back(bart.logits(Script::rows_of(script.steps[t])));
  }
  return played;
}

constexpr remuda::cuda::HostStepRoom kRoom = {.rows = 24, .k = 9, .rule_tokens = 300};

float spread_of(const std::vector<float>& row) {
  return *std::max_element(row.begin(), row.end()) - *std::min_element(row.begin(), row.end());
}

double cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double ab = 0.0, aa = 0.0, bb = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    aa += static_cast<double>(a[i]) * static_cast<double>(a[i]);
    bb += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  return ab / std::sqrt(aa * bb);
}

bool same_bytes(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

struct Variant {
  const char* name;
  const char* activation;
  bool scales;
  bool ties;
};

class CudaBart : public testing::TestWithParam<Variant> {
 protected:
  static io::BartConfig config() {
    io::BartConfig config = small_bart();
    config.activation_function = GetParam().activation;
    config.scale_embedding = GetParam().scales;
    config.tie_word_embeddings = GetParam().ties;
    return config;
  }

  const io::BartConfig config_ = config();
  const BartFile file_{config_};
};

INSTANTIATE_TEST_SUITE_P(Variants, CudaBart,
                         testing::Values(Variant{"tied", "gelu", false, true}, Variant{"scaled", "relu", true, true},
                                         Variant{"untied", "gelu_new", false, false}),
                         [](const auto& variant) { return variant.param.name; });

TEST_P(CudaBart, GivesTheProcessorsLogitsInFp32) {
  const Script script(7);
  BartOnHost bart(config_, file_, Precision::kFp32);
  bart.make_room(kRoom);
  const std::vector<Logits> expected = play_on_cpu(config_, file_, script);
  const std::vector<Logits> found = play_on_gpu(bart, script);
  ASSERT_EQ(found.size(), expected.size());
  for (size_t t = 0; t < found.size(); ++t) {
    ASSERT_EQ(found[t].size(), expected[t].size());
    for (size_t row = 0; row < found[t].size(); ++row) {
      const float tolerance = 1e-4f * spread_of(expected[t][row]);
      ASSERT_THAT(found[t][row], testing::Pointwise(testing::FloatNear(tolerance), expected[t][row]))
          << "step " << t << ", row " << row;
    }
  }
  EXPECT_GT(bart.decoder().replayed_steps(), 0u);
}

TEST_P(CudaBart, IsNearThemInTheShorterTypes) {
  const Script script(8);
  const std::vector<Logits> expected = play_on_cpu(config_, file_, script);
  for (const Precision precision : {Precision::kFp16, Precision::kBf16}) {
    BartOnHost bart(config_, file_, precision);
    bart.make_room(kRoom);
    const std::vector<Logits> found = play_on_gpu(bart, script);
    for (size_t t = 0; t < found.size(); ++t) {
      for (size_t row = 0; row < found[t].size(); ++row) {
        EXPECT_GT(cosine(found[t][row], expected[t][row]), precision == Precision::kFp16 ? 0.9999 : 0.995);
      }
    }
  }
}

TEST_P(CudaBart, ADocumentsLogitsAreTheSameBytesAlone) {
  Script script(9);
  BartOnHost bart(config_, file_, Precision::kFp16);
  bart.make_room(kRoom);
  const std::vector<Logits> together = play_on_gpu(bart, script);
  for (size_t d = 0; d < script.documents.size(); ++d) {
    const auto document = std::move(bart.encode({script.documents[d]}, script.limits())[0]);
    for (size_t t = 0; t < script.steps.size(); ++t) {
      size_t row = 0;
      for (const Script::Rows& each : script.steps[t]) {
        if (each.document == d) {
          bart.step({{document.get(), each.tokens, each.parents}});
          for (const std::vector<float>& alone : bart.logits(each.tokens.size())) {
            EXPECT_TRUE(same_bytes(alone, together[t][row++])) << "document " << d << ", step " << t;
          }
        } else {
          row += each.tokens.size();
        }
      }
    }
  }
}

// Enough sequences for more tiles than one.
TEST(CudaBartRows, ManySequencesOfADocument) {
  const io::BartConfig config = small_bart();
  const BartFile file(config);
  BartOnHost bart(config, file, Precision::kFp32);
  bart.make_room({.rows = 40, .k = 0, .rule_tokens = 0});
  const auto documents = bart.encode({some_ids(20, 1), some_ids(9, 2)}, {.max_rows = 20, .max_positions = 3});
  const Ids tokens = some_ids(20, 5);
  const Ids first(20, -1);
  bart.step({{documents[0].get(), tokens, first}, {documents[1].get(), tokens, first}});
  const Logits together = bart.logits(40);
  for (size_t d = 0; d < 2; ++d) {
    for (size_t row = 0; row < tokens.size(); ++row) {
      const auto alone = bart.encode({d == 0 ? some_ids(20, 1) : some_ids(9, 2)}, {.max_rows = 1, .max_positions = 1});
      bart.step({{alone[0].get(), {tokens[row]}, {-1}}});
      EXPECT_TRUE(same_bytes(bart.logits(1)[0], together[d * 20 + row]));
    }
  }
}

}  // namespace
}  // namespace remuda::models
