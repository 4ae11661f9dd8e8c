// Whole models against sentence-transformers: the directories that tests/golden/make_encoder_golden.py wrote, with what
// it computed in fp32.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "manager/model_tokenizer.h"
#include "models/vectors_test_support.h"
#include "remuda/embedding_model_manager.h"

namespace remuda {
namespace {

namespace fs = std::filesystem;

const fs::path kGolden = fs::path(REMUDA_SOURCE_DIR) / "tests/golden/encoders";

constexpr std::array kModels = {
    "bert_bf16_max",       "bert_cased_plain",   "bert_f16_dense",  "bert_mean",       "bert_prompts",
    "bert_prompts_pooled", "bert_sharded_lower", "distilbert_bf16", "camembert_plain", "distilbert_cls",
    "mpnet_concatenated",  "mpnet_f16",          "roberta_head",    "xlm_roberta_f16",
};

// How far results may be from fp32's. Random weights of this size keep apart what training would have made alike, so
// that rounding shows more than in a trained model.
constexpr double kMaxError = 1e-5;
constexpr double kMinCosineBf16 = 0.9998;
constexpr double kMinCosineInt8 = 0.997;

// Texts that are embedded together, and what must come out.
struct Case {
  EmbedOptions options;
  std::vector<std::string> texts;
  std::vector<std::vector<float>> embeddings;
};

std::vector<Case> read_cases(const fs::path& path) {
  const JsonDocument document = JsonDocument::parse_file(path);
  std::vector<Case> cases;
  for (const JsonValue& json : document.root().at("cases").items()) {
    Case& read = cases.emplace_back();
    if (const auto name = json.find("prompt_name")) read.options.prompt_name = name->as_string();
    if (const auto prompt = json.find("prompt")) read.options.prompt = prompt->as_string();
    for (const JsonValue& row : json.at("rows").items()) {
      read.texts.emplace_back(row.at("text").as_string());
      std::vector<float>& embedding = read.embeddings.emplace_back();
      for (const JsonValue& value : row.at("embedding").items()) {
        embedding.push_back(static_cast<float>(value.as_double()));
      }
    }
  }
  return cases;
}

std::string describe(const Case& tested) {
  if (tested.options.prompt) return "prompt \"" + *tested.options.prompt + '"';
  return tested.options.prompt_name ? "prompt_name " + *tested.options.prompt_name : "no prompt named";
}

double max_error(std::span<const float> expected, std::span<const float> found) {
  double worst = 0.0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double error = std::abs(static_cast<double>(expected[i]) - static_cast<double>(found[i]));
    worst = error <= worst ? worst : error;  // Not a number counts as worst.
  }
  return worst;
}

Settings settings_for(const std::string& model, Precision precision) {
  Settings settings;
  settings.embedding_model = (kGolden / model).string();
  settings.precision = precision;
  return settings;
}

class EmbeddingGolden : public ::testing::TestWithParam<const char*> {
 protected:
  // Calls check(expected, found) for each text.
  template <typename Check>
  void embed_all(Precision precision, Check check) {
    const std::vector<Case> cases = read_cases(kGolden / GetParam() / "expected.json");
    ASSERT_FALSE(cases.empty());
    EmbeddingModelManager manager(settings_for(GetParam(), precision));
    for (const Case& tested : cases) {
      SCOPED_TRACE(describe(tested));
      ASSERT_FALSE(tested.texts.empty());
      const Embeddings found = manager.embed_texts(tested.texts, tested.options);
      ASSERT_EQ(found.size(), std::ssize(tested.texts));
      for (size_t i = 0; i < tested.texts.size(); ++i) {
        SCOPED_TRACE(tested.texts[i]);
        ASSERT_EQ(found.dimension, std::ssize(tested.embeddings[i]));
        check(std::span<const float>(tested.embeddings[i]), found.row(static_cast<int64_t>(i)));
      }
    }
  }

  void expect_cosines(Precision precision, double bound) {
    double least = 1.0;
    embed_all(precision, [&](std::span<const float> expected, std::span<const float> found) {
      const double near = cosine(expected, found);
      EXPECT_GE(near, bound);
      least = std::min(least, near);
    });
    RecordProperty("min_cosine", std::to_string(least));
  }
};

TEST_P(EmbeddingGolden, Fp32IsSentenceTransformersResult) {
  double worst = 0.0;
  embed_all(Precision::kFp32, [&](std::span<const float> expected, std::span<const float> found) {
    const double error = max_error(expected, found);
    EXPECT_LE(error, kMaxError);
    worst = std::max(worst, error);
  });
  RecordProperty("max_error", std::to_string(worst * 1e6) + "e-6");
}

TEST_P(EmbeddingGolden, Bf16IsNear) { expect_cosines(Precision::kBf16, kMinCosineBf16); }

TEST_P(EmbeddingGolden, Int8IsNear) { expect_cosines(Precision::kInt8, kMinCosineInt8); }

INSTANTIATE_TEST_SUITE_P(Models, EmbeddingGolden, ::testing::ValuesIn(kModels),
                         [](const auto& tested) { return std::string(tested.param); });

TEST(ModelTokenizerGolden, LettersAreSmallWhereTheEmbeddingsAre) {
  const std::vector<std::string> texts = {"ALLE Menschen", "alle menschen"};
  const auto ids = [&](const char* model) {
    const auto found = ModelTokenizer((kGolden / model).string()).tokenize(texts, std::nullopt);
    return std::pair(found[0].ids, found[1].ids);
  };
  const auto [large, small] = ids("bert_sharded_lower");  // do_lower_case, with the tokenizer of the other.
  const auto [large_kept, small_kept] = ids("bert_cased_plain");
  EXPECT_EQ(large, small);
  EXPECT_EQ(small, small_kept);
  EXPECT_NE(large_kept, small_kept);
}

// A model that the generator wrote and no test reads, or one that is gone, is a mistake.
TEST(EmbeddingGoldenFiles, AreThoseThatTheTestsRead) {
  ASSERT_TRUE(fs::is_directory(kGolden)) << kGolden << " is missing; run: python3 tests/golden/make_encoder_golden.py";
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(kGolden)) found.push_back(entry.path().filename().string());
  EXPECT_THAT(found, ::testing::UnorderedElementsAreArray(kModels));
}

}  // namespace
}  // namespace remuda
