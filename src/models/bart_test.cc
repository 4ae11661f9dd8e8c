// BART against transformers, and against itself: a step at a time, reordered, among others, in each precision.
#include "models/bart.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "models/bart_test_support.h"
#include "models/vectors_test_support.h"

namespace remuda::models {
namespace {

constexpr int kCases = 3;

std::vector<int32_t> integers(const io::Checkpoint& file, const std::string& name) {
  const TensorView* view = file.find(name);
  if (view == nullptr || view->dtype != DType::kI32) throw std::runtime_error("no integers " + name);
  std::vector<int32_t> values(static_cast<size_t>(view->size()));
  std::memcpy(values.data(), view->data, view->bytes());
  return values;
}

std::vector<float> floats(const io::Checkpoint& file, const std::string& name, const Shape& shape) {
  const FloatTensor tensor = FloatTensor::from(file.get(name, shape));
  return {tensor.data(), tensor.data() + tensor.size()};
}

double norm(const std::vector<float>& x) {
  double sum = 0;
  for (const float value : x) sum += static_cast<double>(value) * value;
  return std::sqrt(sum);
}

// |a - b| relative to |b|.
double difference(std::vector<float> a, const std::vector<float>& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
  return norm(a) / norm(b);
}

class BartGolden : public ::testing::TestWithParam<const char*> {
 protected:
  io::Checkpoint expected_ = io::Checkpoint::open_file(bart_directory(GetParam()) / "expected.safetensors");
};

TEST_P(BartGolden, EncoderStatesAreThoseOfTransformers) {
  TinyBart bart(GetParam());
  const int64_t size = bart.model.config().d_model;
  std::vector<Ids> documents;
  for (int i = 0; i < kCases; ++i) documents.push_back(integers(expected_, "ids." + std::to_string(i)));
  const auto [ids, offsets] = Documents(documents);
  FloatTensor hidden({offsets.back(), size});
  bart.model.encoder_states({ids, offsets}, {hidden.data(), offsets.back(), size}, bart.arena, bart.pool);
  for (size_t i = 0; i < kCases; ++i) {
    const auto wanted = floats(expected_, "encoder." + std::to_string(i), {offsets[i + 1] - offsets[i], size});
    const std::vector<float> found(hidden.data() + offsets[i] * size, hidden.data() + offsets[i + 1] * size);
    EXPECT_LT(difference(found, wanted), 1e-5) << "document " << i;
  }
}

TEST_P(BartGolden, LogitsOfEveryStepAreThoseOfTransformers) {
  TinyBart bart(GetParam());
  for (int i = 0; i < kCases; ++i) {
    const std::string number = std::to_string(i);
    const auto tokens = integers(expected_, "decoder_ids." + number);
    const int64_t vocabulary = bart.model.config().vocab_size;
    const auto wanted = floats(expected_, "logits." + number, {static_cast<int64_t>(tokens.size()), vocabulary});
    const Logits found = bart.teach(integers(expected_, "ids." + number), tokens);
    for (size_t t = 0; t < tokens.size(); ++t) {
      const auto* row = wanted.data() + static_cast<int64_t>(t) * vocabulary;
      EXPECT_LT(difference(found[t], {row, row + vocabulary}), 1e-5) << "document " << i << ", step " << t;
    }
  }
}

TEST_P(BartGolden, LowerPrecisionsStayNear) {
  struct Bound {
    Precision precision;
    double cosine;
  };
  for (const Bound& bound : {Bound{Precision::kBf16, 0.9999}, Bound{Precision::kInt8, 0.999}}) {
    TinyBart bart(GetParam(), bound.precision);
    for (int i = 0; i < kCases; ++i) {
      const std::string number = std::to_string(i);
      const auto tokens = integers(expected_, "decoder_ids." + number);
      const int64_t vocabulary = bart.model.config().vocab_size;
      const auto wanted = floats(expected_, "logits." + number, {static_cast<int64_t>(tokens.size()), vocabulary});
      std::vector<float> found;
      for (const auto& row : bart.teach(integers(expected_, "ids." + number), tokens)) {
        found.insert(found.end(), row.begin(), row.end());
      }
      EXPECT_GT(cosine(found, wanted), bound.cosine) << to_string(bound.precision) << ", document " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, BartGolden, ::testing::Values("distilled", "scaled", "untied", "bare"),
                         [](const auto& test) { return std::string(test.param); });

class BartBits : public ::testing::TestWithParam<Precision> {};

// Four beams that fork, swap and drop out at random, as a search would have them, against each one decoded afresh.
TEST_P(BartBits, ReorderedSequencesEqualSequencesDecodedFromTheStart) {
  constexpr int kSteps = 24;
  TinyBart bart("scaled", GetParam());
  const int64_t vocabulary = bart.model.config().vocab_size;
  const auto document = some_ids(19, 1, vocabulary);
  auto documents = bart.encode({document}, {.max_rows = 4, .max_positions = kSteps});
  std::mt19937 random(2);
  std::vector<std::vector<int32_t>> histories(1);
  for (int t = 0; t < kSteps; ++t) {
    const size_t count = t == 0 ? 1 : 1 + random() % 4;
    std::vector<DecodeRow> rows;
    std::vector<std::vector<int32_t>> next;
    for (size_t i = 0; i < count; ++i) {
      const auto parent = static_cast<int32_t>(random() % histories.size());
      const auto token = static_cast<int32_t>(random() % static_cast<unsigned>(vocabulary));
      rows.push_back({&documents[0], token, t == 0 ? -1 : parent});
      next.push_back(histories[static_cast<size_t>(parent)]);
      next.back().push_back(token);
    }
    histories = next;
    const Logits found = bart.step(rows);
    if (t % 5 != 3 && t != kSteps - 1) continue;
    for (size_t i = 0; i < count; ++i) {
      EXPECT_EQ(found[i], bart.teach(document, histories[i]).back()) << "step " << t << ", sequence " << i;
    }
  }
}

// Documents of different lengths that join and leave while others are at other positions.
TEST_P(BartBits, RowsDoNotDependOnWhatIsDecodedBesideThem) {
  constexpr int64_t kDocuments = 7;
  constexpr size_t kTokens = 6;
  TinyBart bart("distilled", GetParam());
  const int64_t vocabulary = bart.model.config().vocab_size;
  std::vector<std::vector<int32_t>> texts, tokens;
  std::vector<Logits> alone;
  for (unsigned i = 0; i < kDocuments; ++i) {
    texts.push_back(some_ids(1 + 6 * i, i, vocabulary));
    tokens.push_back(some_ids(kTokens, 100 + i, vocabulary));
    alone.push_back(bart.teach(texts[i], tokens[i]));
  }
  for (const int threads : {1, 2, 5}) {
    ComputePool pool(threads);
    auto documents = bart.encode(texts, {.max_rows = 3, .max_positions = kTokens}, &pool);
    for (size_t t = 0; t < kTokens + kDocuments; ++t) {
      std::vector<DecodeRow> rows;
      std::vector<const std::vector<float>*> wanted;
      for (size_t d = 0; d < documents.size(); ++d) {
        if (t < d || t - d >= kTokens) continue;  // Document d joins at step d.
        const size_t position = t - d;
        // As many equal sequences as the document has room for: 1 to 3.
        for (size_t row = 0; row <= d % 3; ++row) {
          rows.push_back({&documents[d], tokens[d][position], position == 0 ? -1 : static_cast<int32_t>(row)});
          wanted.push_back(&alone[d][position]);
        }
      }
      const Logits found = bart.step(rows, &pool);
      for (size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(found[i], *wanted[i]) << threads << " threads, step " << t;
    }
  }
}

// More documents than are encoded at once.
TEST_P(BartBits, DocumentsDoNotDependOnWhatIsEncodedBesideThem) {
  TinyBart bart("scaled", GetParam());
  const int64_t vocabulary = bart.model.config().vocab_size;
  std::vector<std::vector<int32_t>> texts;
  for (unsigned i = 0; i < 50; ++i) texts.push_back(some_ids(1 + i * 31 % 70, i, vocabulary));
  auto documents = bart.encode(texts, {.max_rows = 1, .max_positions = 1});
  for (size_t i = 0; i < texts.size(); ++i) {
    const int32_t token = static_cast<int32_t>(i);
    EXPECT_EQ(bart.step({{&documents[i], token, -1}})[0], bart.teach(texts[i], {token})[0]) << "document " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Precisions, BartBits, ::testing::Values(Precision::kFp32, Precision::kBf16, Precision::kInt8),
                         [](const auto& test) { return std::string(to_string(test.param)); });

}  // namespace
}  // namespace remuda::models
