#include "kernels/attention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "remuda/error.h"

namespace remuda::kernels {
namespace {

// A batch as a model makes it: query, key and value are columns of one matrix whose rows are padded, and the output's
// rows are padded too, with a value that must survive.
struct Batch {
  static constexpr float kGuard = 12345.0f;

  std::vector<int64_t> offsets = {0};
  AttentionShape shape;
  float scale;
  int64_t cols;
  int64_t stride;
  std::vector<float> qkv;
  std::vector<float> out;

  Batch(const std::vector<int64_t>& lengths, AttentionShape s, uint32_t seed = 1, float spread = 1.0f)
      : shape(s),
        scale(1.0f / std::sqrt(static_cast<float>(s.head_dim))),
        cols(s.num_heads * s.head_dim),
        stride(3 * cols + 5) {
    for (const int64_t length : lengths) offsets.push_back(offsets.back() + length);
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0f, spread);
    qkv.resize(static_cast<size_t>(tokens() * stride + 1));
    for (float& x : qkv) x = normal(random);
    out.assign(static_cast<size_t>(tokens() * (cols + 3) + 1), kGuard);
  }

  int64_t tokens() const { return offsets.back(); }
  // One float past the start of the allocation: never aligned to a vector.
  MatrixView<float> part(int64_t i) { return {qkv.data() + 1 + i * cols, tokens(), cols, stride}; }
  MatrixView<float> output() { return {out.data() + 1, tokens(), cols, cols + 3}; }

  void run(Isa isa, ComputePool& pool, MatrixView<const float> bias = {}, StoredAs multiplied_as = StoredAs::kFp32) {
    attention(part(0), part(1), part(2), offsets, shape, scale, bias, multiplied_as, output(), pool, isa);
  }

  // The definition, in double.
  std::vector<double> reference(MatrixView<const float> bias = {}) {
    std::vector<double> result(static_cast<size_t>(tokens() * cols));
    for (size_t i = 0; i + 1 < offsets.size(); ++i) {
      for (int64_t t = offsets[i]; t < offsets[i + 1]; ++t) {
        for (int64_t h = 0; h < shape.num_heads; ++h)
          reference_head(i, t, h, bias, &result[t * cols + h * shape.head_dim]);
      }
    }
    return result;
  }

  void reference_head(size_t sequence, int64_t t, int64_t h, MatrixView<const float> bias, double* to) {
    std::vector<double> weights;
    for (int64_t s = offsets[sequence]; s < offsets[sequence + 1]; ++s) {
      double score = 0;
      for (int64_t c = h * shape.head_dim; c < (h + 1) * shape.head_dim; ++c) {
        score += static_cast<double>(part(0).row(t)[c]) * static_cast<double>(part(1).row(s)[c]);
      }
      score *= scale;
      if (bias.data) score += bias.row(h)[s - t + (bias.cols - 1) / 2];
      weights.push_back(score);
    }
    const double maximum = *std::max_element(weights.begin(), weights.end());
    double sum = 0;
    for (double& weight : weights) sum += weight = std::exp(weight - maximum);
    for (int64_t d = 0; d < shape.head_dim; ++d) {
      double value = 0;
      for (size_t s = 0; s < weights.size(); ++s) {
        value += weights[s] / sum * part(2).row(offsets[sequence] + static_cast<int64_t>(s))[h * shape.head_dim + d];
      }
      to[d] = value;
    }
  }

  void expect_near(const std::vector<double>& expected, double tolerance) {
    for (int64_t t = 0; t < tokens(); ++t) {
      for (int64_t c = 0; c < cols; ++c) {
        ASSERT_NEAR(output().row(t)[c], expected[t * cols + c], tolerance) << "token " << t << ", column " << c;
      }
    }
    for (size_t i = 0; i < out.size(); ++i) {
      const int64_t column = (static_cast<int64_t>(i) + cols + 2) % (cols + 3);
      if (column < cols) continue;
      ASSERT_EQ(out[i], kGuard) << "wrote outside the output, at " << i;
    }
  }
};

std::vector<float> bits_of(MatrixView<float> m) {
  std::vector<float> all;
  for (int64_t r = 0; r < m.rows; ++r) all.insert(all.end(), m.row(r), m.row(r) + m.cols);
  return all;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

class AttentionTest : public testing::TestWithParam<Isa> {
 protected:
  ComputePool pool_{2};
};

INSTANTIATE_TEST_SUITE_P(Isas, AttentionTest, testing::ValuesIn(available_isas()),
                         [](const auto& isa) { return std::string(to_string(isa.param)); });

TEST_P(AttentionTest, MatchesTheDefinitionForEverySmallLength) {
  std::vector<int64_t> lengths;
  for (int64_t length = 0; length <= 33; ++length) lengths.push_back(length);
  lengths.insert(lengths.end(), {47, 48, 49, 63, 64, 65, 0, 96, 97});
  for (const int64_t head_dim : {1, 7, 32}) {
    SCOPED_TRACE(head_dim);
    Batch batch(lengths, {.num_heads = 2, .head_dim = head_dim});
    batch.run(GetParam(), pool_);
    batch.expect_near(batch.reference(), 2e-6);
  }
}

TEST_P(AttentionTest, MatchesTheDefinitionForEveryHeadDimension) {
  for (const int64_t head_dim :
       {2, 3, 4, 5, 8, 9, 12, 15, 16, 17, 24, 31, 33, 48, 63, 64, 65, 80, 100, 127, 128, 129, 256}) {
    SCOPED_TRACE(head_dim);
    Batch batch({1, 5, 19}, {.num_heads = 3, .head_dim = head_dim});
    batch.run(GetParam(), pool_);
    batch.expect_near(batch.reference(), 2e-6);
  }
}

TEST_P(AttentionTest, MatchesTheDefinitionForLongSequences) {
  Batch batch({512, 255}, {.num_heads = 1, .head_dim = 32});
  batch.run(GetParam(), pool_);
  batch.expect_near(batch.reference(), 2e-6);
}

TEST_P(AttentionTest, AddsTheRelativeBias) {
  const AttentionShape shape{.num_heads = 3, .head_dim = 8};
  constexpr int64_t kDistance = 40;
  std::vector<float> values(3 * (2 * kDistance + 1));
  for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i) * 1.7f) * 3.0f;
  const MatrixView<const float> bias(values.data(), 3, 2 * kDistance + 1);
  Batch batch({1, 2, 16, 17, 33, 41}, shape);
  batch.run(GetParam(), pool_, bias);
  batch.expect_near(batch.reference(bias), 3e-6);
}

TEST_P(AttentionTest, IsExactForOneToken) {
  Batch batch({1, 1}, {.num_heads = 2, .head_dim = 5});
  batch.run(GetParam(), pool_);
  EXPECT_TRUE(same_bits(bits_of(batch.output()), bits_of(batch.part(2))));
}

// With two keys whose scores differ by x and values 0 and 1 the output is e^x / (1 + e^x): the exponential, seen
// through the whole kernel.
TEST_P(AttentionTest, ExponentialIsRightOverItsRange) {
  for (float x = -86.0f; x <= 0.0f; x += 0.0371f) {
    Batch batch({2}, {.num_heads = 1, .head_dim = 1});
    batch.part(0).row(0)[0] = batch.part(0).row(1)[0] = 1.0f;
    batch.part(1).row(0)[0] = 0.0f;
    batch.part(1).row(1)[0] = x;
    batch.part(2).row(0)[0] = 0.0f;
    batch.part(2).row(1)[0] = 1.0f;
    batch.run(GetParam(), pool_);
    const double expected = 1.0 / (1.0 + std::exp(-static_cast<double>(x)));
    ASSERT_NEAR(batch.output().row(1)[0] / expected, 1.0, 4e-7) << x;
  }
}

TEST_P(AttentionTest, HugeScoresSelectAndTinyOnesVanish) {
  for (const float huge : {1e3f, 1e10f, 1e30f}) {
    Batch batch({9}, {.num_heads = 1, .head_dim = 1});
    for (int64_t t = 0; t < 9; ++t) {
      batch.part(0).row(t)[0] = 1.0f;
      batch.part(1).row(t)[0] = t == 6 ? huge : (t % 2 != 0 ? -huge : 0.0f);
    }
    batch.run(GetParam(), pool_);
    for (int64_t t = 0; t < 9; ++t) EXPECT_EQ(batch.output().row(t)[0], batch.part(2).row(6)[0]) << huge;
  }
}

TEST_P(AttentionTest, SharpSoftmaxStaysAccurate) {
  Batch batch({64}, {.num_heads = 2, .head_dim = 16}, 3, 4.0f);
  batch.run(GetParam(), pool_);
  batch.expect_near(batch.reference(), 2e-4);  // Scores of hundreds, whose last bit is 3e-5.
}

TEST_P(AttentionTest, SubnormalInputsAreHarmless) {
  Batch batch({20}, {.num_heads = 1, .head_dim = 8}, 5, 1e-40f);
  batch.run(GetParam(), pool_);
  batch.expect_near(batch.reference(), 1e-43);
}

TEST_P(AttentionTest, NanStaysInItsSequenceAndHead) {
  Batch clean({5, 18, 7}, {.num_heads = 2, .head_dim = 8});
  clean.run(GetParam(), pool_);
  Batch batch({5, 18, 7}, {.num_heads = 2, .head_dim = 8});
  batch.part(1).row(10)[3] = std::numeric_limits<float>::quiet_NaN();  // A key of sequence 1, head 0.
  batch.run(GetParam(), pool_);
  for (int64_t t = 0; t < batch.tokens(); ++t) {
    for (int64_t c = 0; c < batch.cols; ++c) {
      if (t >= 5 && t < 23 && c < 8) {
        EXPECT_TRUE(std::isnan(batch.output().row(t)[c])) << t << ", " << c;
      } else {
        EXPECT_EQ(batch.output().row(t)[c], clean.output().row(t)[c]) << t << ", " << c;
      }
    }
  }
}

TEST_P(AttentionTest, BitsDependOnTheSequenceAlone) {
  const AttentionShape shape{.num_heads = 4, .head_dim = 20};
  const std::vector<int64_t> lengths = {3, 40, 1, 17, 128, 2, 17};
  Batch batch(lengths, shape, 9);
  ComputePool one(1);
  batch.run(GetParam(), one);
  const std::vector<float> expected = bits_of(batch.output());
  for (const int threads : {2, 5}) {
    ComputePool many(threads);
    for (int repeat = 0; repeat < 20; ++repeat) {
      std::fill(batch.out.begin(), batch.out.end(), 0.0f);
      batch.run(GetParam(), many);
      ASSERT_TRUE(same_bits(bits_of(batch.output()), expected)) << threads << " threads";
    }
  }
  for (size_t i = 0; i < lengths.size(); ++i) {
    Batch alone({lengths[i]}, shape);
    for (int64_t t = 0; t < lengths[i]; ++t) {
      std::copy_n(batch.part(0).row(batch.offsets[i] + t), 3 * batch.cols, alone.part(0).row(t));
    }
    alone.run(GetParam(), pool_);
    EXPECT_TRUE(same_bits(bits_of(alone.output()), bits_of(batch.output().slice_rows(batch.offsets[i], lengths[i]))))
        << "sequence " << i;
  }
}

// Values of about 1, each rounded by at most 2^-9 of itself, as are the weights: what is left after averaging.
TEST_P(AttentionTest, RoundedToBf16IsNearTheDefinition) {
  std::vector<float> values(3 * 257);
  for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i) * 1.7f);
  const MatrixView<const float> bias(values.data(), 3, 257);
  for (const int64_t head_dim : {1, 2, 7, 16, 31, 32, 33, 64, 100}) {
    SCOPED_TRACE(head_dim);
    Batch batch({1, 2, 3, 0, 15, 16, 17, 33, 64, 127}, {.num_heads = 3, .head_dim = head_dim});
    batch.run(GetParam(), pool_, bias, StoredAs::kBf16);
    batch.expect_near(batch.reference(bias), 0.03);
  }
}

TEST_P(AttentionTest, RoundedToBf16BitsDependOnTheSequenceAlone) {
  const AttentionShape shape{.num_heads = 4, .head_dim = 21};
  const std::vector<int64_t> lengths = {3, 40, 1, 17, 128, 2, 17};
  Batch batch(lengths, shape, 9);
  batch.run(GetParam(), pool_, {}, StoredAs::kBf16);
  ComputePool one(1);
  for (size_t i = 0; i < lengths.size(); ++i) {
    Batch alone({lengths[i]}, shape);
    for (int64_t t = 0; t < lengths[i]; ++t) {
      std::copy_n(batch.part(0).row(batch.offsets[i] + t), 3 * batch.cols, alone.part(0).row(t));
    }
    alone.run(GetParam(), one, {}, StoredAs::kBf16);
    EXPECT_TRUE(same_bits(bits_of(alone.output()), bits_of(batch.output().slice_rows(batch.offsets[i], lengths[i]))))
        << "sequence " << i;
  }
}

TEST_P(AttentionTest, RoundedToBf16NanStaysInItsSequenceAndHead) {
  Batch batch({5, 18, 7}, {.num_heads = 2, .head_dim = 8});
  batch.part(1).row(10)[3] = std::numeric_limits<float>::quiet_NaN();  // A key of sequence 1, head 0.
  batch.run(GetParam(), pool_, {}, StoredAs::kBf16);
  for (int64_t t = 0; t < batch.tokens(); ++t) {
    for (int64_t c = 0; c < batch.cols; ++c) {
      EXPECT_EQ(std::isnan(batch.output().row(t)[c]), t >= 5 && t < 23 && c < 8) << t << ", " << c;
    }
  }
}

TEST_P(AttentionTest, RoundingToBf16IsForInstructionSetsThatGainByIt) {
  Batch exact({40}, {.num_heads = 2, .head_dim = 16});
  exact.run(GetParam(), pool_);
  Batch rounded({40}, {.num_heads = 2, .head_dim = 16});
  rounded.run(GetParam(), pool_, {}, StoredAs::kBf16);
  EXPECT_EQ(same_bits(bits_of(exact.output()), bits_of(rounded.output())), GetParam() < Isa::kAvx512Bf16);
}

TEST_P(AttentionTest, NoSequencesIsNoWork) {
  Batch empty({}, {.num_heads = 2, .head_dim = 4});
  empty.run(GetParam(), pool_);
  Batch hollow({0, 0}, {.num_heads = 2, .head_dim = 4});
  hollow.run(GetParam(), pool_);
}

template <typename Function>
std::string message_of(Function function) {
  try {
    function();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
  return "nothing thrown";
}

TEST(AttentionErrors, SayWhatDoesNotFit) {
  using testing::HasSubstr;
  ComputePool pool(1);
  Batch wrong_shape({4}, {.num_heads = 2, .head_dim = 4});
  wrong_shape.shape.head_dim = 5;
  EXPECT_THAT(message_of([&] { wrong_shape.run(Isa::kGeneric, pool); }), HasSubstr("expected four matrices [4, 10]"));
  Batch falling({4, 4}, {.num_heads = 2, .head_dim = 4});
  falling.offsets = {0, 6, 5, 8};
  EXPECT_THAT(message_of([&] { falling.run(Isa::kGeneric, pool); }), HasSubstr("rise from 0 to 8"));
  Batch too_long({4}, {.num_heads = 1, .head_dim = 4});
  const std::vector<float> bias(5);
  EXPECT_THAT(message_of([&] { too_long.run(Isa::kGeneric, pool, {bias.data(), 1, 5}); }),
              HasSubstr("sequence 0 has 4 tokens, and the relative bias is for at most 3"));
}

}  // namespace
}  // namespace remuda::kernels
