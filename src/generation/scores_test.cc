#include "generation/scores.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>

#include "remuda/error.h"

namespace remuda {
namespace {

std::vector<float> random_scores(size_t n, uint64_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 5.0f);
  std::vector<float> scores(n);
  for (float& score : scores) score = normal(random);
  return scores;
}

class EveryIsa : public testing::TestWithParam<kernels::Isa> {
 protected:
  const ScoreRows rows_{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(ScoreRows, EveryIsa, testing::ValuesIn(kernels::available_isas()),
                         [](const auto& param) { return std::string(kernels::to_string(param.param)); });

TEST_P(EveryIsa, LogSoftmaxIsTheLogarithmOfProbabilities) {
  for (size_t n = 1; n <= 300; n = n < 150 ? n + 1 : n + 37) {
    std::vector<float> logits = random_scores(n, n);
    if (n > 5) logits[n / 2] = -INFINITY;
    const double max = *std::ranges::max_element(logits);
    double sum = 0;
    for (const float logit : logits) sum += std::exp(logit - max);
    std::vector<float> out(n + 1, 77.0f);
    const LogSoftmax normalise = rows_.log_softmax(logits, std::span(out).first(n));
    for (size_t i = 0; i < n; ++i) {
      const double expected = logits[i] - max - std::log(sum);
      if (std::isinf(expected)) {
        EXPECT_EQ(out[i], expected);
      } else {
        EXPECT_NEAR(out[i], expected, 4e-6) << n;
      }
      EXPECT_EQ(normalise(logits[i]), out[i]) << n;
    }
    EXPECT_EQ(out[n], 77.0f) << "wrote behind the row";
  }
}

TEST_P(EveryIsa, LogSoftmaxRefusesWhatIsNoNumber) {
  for (const size_t n : {1u, 5u, 64u, 133u}) {
    for (size_t place = 0; place < n; place += 1 + n / 7) {
      for (const float bad : {NAN, -NAN, INFINITY}) {
        std::vector<float> logits = random_scores(n, 3);
        logits[place] = bad;
        EXPECT_THROW(rows_.log_softmax(logits), Error) << n << " " << place << " " << bad;
      }
    }
    EXPECT_THROW(rows_.log_softmax(std::vector<float>(n, -INFINITY)), Error);
  }
}

TEST_P(EveryIsa, ArgmaxIsTheFirstOfTheGreatest) {
  for (size_t n = 1; n < 300; n += 1 + n / 9) {
    std::vector<float> scores = random_scores(n, n);
    EXPECT_EQ(rows_.argmax(scores), std::ranges::max_element(scores) - scores.begin());
    for (float& score : scores) score = std::floor(score / 5);
    EXPECT_EQ(rows_.argmax(scores), std::ranges::max_element(scores) - scores.begin());
  }
  EXPECT_EQ(rows_.argmax(std::vector<float>(70, -INFINITY)), 0);
  EXPECT_EQ(rows_.argmax(std::vector<float>{-0.0f, 0.0f, -1.0f}), 0);
}

// Against a full, stable sort; over several rows with offsets, as beam search scans them.
TEST_P(EveryIsa, TopCandidatesAreThoseOfASort) {
  std::mt19937 random(7);
  TopCandidates top(rows_);
  for (int round = 0; round < 400; ++round) {
    const size_t n = 1 + random() % 700, num_rows = 1 + random() % 5;
    const auto k = static_cast<int64_t>(1 + random() % 40);
    const bool equals = random() % 2 == 0;
    std::vector<Candidate> all;
    top.reset(k);
    for (size_t row = 0; row < num_rows; ++row) {
      std::vector<float> scores = random_scores(n, random());
      if (equals) {
        for (float& score : scores) score = std::floor(score / 4);
      }
      if (random() % 3 == 0) scores[random() % n] = -INFINITY;
      const float offset = equals ? -static_cast<float>(random() % 3) : random_scores(1, random())[0];
      const auto base = static_cast<int64_t>(row * n);
      top.scan(scores, offset, base);
      for (size_t i = 0; i < n; ++i) all.push_back({scores[i] + offset, base + static_cast<int64_t>(i)});
    }
    std::ranges::sort(all, {}, [](const Candidate& c) { return std::pair(-c.score, c.index); });
    all.resize(std::min(all.size(), static_cast<size_t>(k)));
    ASSERT_EQ(top.best().size(), all.size());
    for (size_t i = 0; i < all.size(); ++i) {
      ASSERT_EQ(top.best()[i].score, all[i].score) << i;
      ASSERT_EQ(top.best()[i].index, all[i].index) << i;
    }
  }
}

}  // namespace
}  // namespace remuda
