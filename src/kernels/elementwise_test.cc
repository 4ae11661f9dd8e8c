#include "kernels/elementwise.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "remuda/error.h"
#include "tensor/float16.h"

namespace remuda::kernels {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> normal_floats(int64_t n, uint32_t seed, float mean = 0.0f, float spread = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(mean, spread);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& value : values) value = normal(random);
  return values;
}

class ElementwiseTest : public testing::TestWithParam<Isa> {
 protected:
  ComputePool pool_{2};
};

INSTANTIATE_TEST_SUITE_P(Isas, ElementwiseTest, testing::ValuesIn(available_isas()),
                         [](const auto& isa) { return std::string(to_string(isa.param)); });

// --- layer_norm ---

struct NormCase {
  int64_t rows, cols;
  float mean = 0.0f, spread = 1.0f, epsilon = 1e-12f;
};

// Runs on misaligned, strided operands, compares with the definition in double, and looks for stray writes.
void check_layer_norm(Isa isa, ComputePool& pool, NormCase c, double tolerance) {
  const int64_t x_stride = c.cols + 3, y_stride = c.cols + 2;
  const std::vector<float> x = normal_floats(c.rows * x_stride + 1, 7, c.mean, c.spread);
  const std::vector<float> gamma = normal_floats(c.cols + 1, 8), beta = normal_floats(c.cols + 1, 9);
  std::vector<float> y(static_cast<size_t>(c.rows * y_stride + 1), -77.0f);
  const MatrixView<const float> in(x.data() + 1, c.rows, c.cols, x_stride);
  const MatrixView<float> out(y.data() + 1, c.rows, c.cols, y_stride);
  layer_norm(in, gamma.data() + 1, beta.data() + 1, c.epsilon, out, pool, isa);
  for (int64_t r = 0; r < c.rows; ++r) {
    double mean = 0, variance = 0;
    for (int64_t i = 0; i < c.cols; ++i) mean += in.row(r)[i];
    mean /= static_cast<double>(c.cols);
    for (int64_t i = 0; i < c.cols; ++i) variance += std::pow(in.row(r)[i] - mean, 2);
    variance /= static_cast<double>(c.cols);
    for (int64_t i = 0; i < c.cols; ++i) {
      const double expected = (in.row(r)[i] - mean) / std::sqrt(variance + c.epsilon) * gamma[i + 1] + beta[i + 1];
      ASSERT_NEAR(out.row(r)[i], expected, tolerance * std::max(1.0, std::abs(expected))) << r << ", " << i;
    }
    EXPECT_EQ(out.row(r)[c.cols], -77.0f) << "wrote past row " << r;
  }
}

TEST_P(ElementwiseTest, LayerNormMatchesTheDefinition) {
  for (int64_t cols = 2; cols <= 33; ++cols)
    check_layer_norm(GetParam(), pool_, {.rows = 3, .cols = cols, .epsilon = 1e-5f}, 2e-6);
  for (const int64_t cols : {63, 64, 65, 127, 129, 384, 768, 1000, 1024}) {
    check_layer_norm(GetParam(), pool_, {.rows = 5, .cols = cols}, 1e-6);
  }
  check_layer_norm(GetParam(), pool_, {.rows = 200, .cols = 384}, 1e-6);
}

TEST_P(ElementwiseTest, LayerNormSurvivesAMeanFarFromZero) {
  // The mean of squares less the squared mean would have no correct digit here.
  check_layer_norm(GetParam(), pool_, {.rows = 2, .cols = 384, .mean = 1000.0f, .spread = 0.5f}, 1e-3);
}

TEST_P(ElementwiseTest, LayerNormOfAConstantRowIsBeta) {
  const std::vector<float> x(17, 3.5f), gamma(17, 2.0f), beta = normal_floats(17, 1);
  std::vector<float> y(17);
  layer_norm({x.data(), 1, 17}, gamma.data(), beta.data(), 1e-12f, {y.data(), 1, 17}, pool_, GetParam());
  EXPECT_EQ(y, beta);
  layer_norm({x.data(), 17, 1}, gamma.data(), beta.data(), 1e-12f, {y.data(), 17, 1}, pool_, GetParam());
  EXPECT_EQ(y, std::vector<float>(17, beta[0]));
}

TEST_P(ElementwiseTest, LayerNormInPlaceAndInAnyBatchGivesTheSameBits) {
  constexpr int64_t kRows = 300, kCols = 83;
  const std::vector<float> x = normal_floats(kRows * kCols, 3), gamma = normal_floats(kCols, 4),
                           beta = normal_floats(kCols, 5);
  std::vector<float> apart(x.size()), in_place = x, alone(x.size());
  layer_norm({x.data(), kRows, kCols}, gamma.data(), beta.data(), 1e-5f, {apart.data(), kRows, kCols}, pool_,
             GetParam());
  ComputePool five(5);
  const MatrixView<float> same(in_place.data(), kRows, kCols);
  layer_norm(same, gamma.data(), beta.data(), 1e-5f, same, five, GetParam());
  for (int64_t r = 0; r < kRows; ++r) {
    layer_norm({x.data() + r * kCols, 1, kCols}, gamma.data(), beta.data(), 1e-5f, {alone.data() + r * kCols, 1, kCols},
               pool_, GetParam());
  }
  EXPECT_EQ(std::memcmp(apart.data(), in_place.data(), apart.size() * sizeof(float)), 0);
  EXPECT_EQ(std::memcmp(apart.data(), alone.data(), apart.size() * sizeof(float)), 0);
}

TEST_P(ElementwiseTest, LayerNormKeepsANanInItsRow) {
  std::vector<float> x = normal_floats(3 * 21, 3);
  x[21 + 20] = kNan;
  const std::vector<float> ones(21, 1.0f);
  std::vector<float> y(x.size());
  layer_norm({x.data(), 3, 21}, ones.data(), ones.data(), 1e-5f, {y.data(), 3, 21}, pool_, GetParam());
  for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(std::isnan(y[i]), i / 21 == 1) << i;
}

// --- gather_rows ---

// A table of each type, at an odd address as in a mapped file, whose values are exact in every type.
struct Table {
  std::vector<std::byte> bytes;
  std::vector<float> values;
  TensorView view;

  Table(DType dtype, int64_t rows, int64_t cols) {
    bytes.resize(static_cast<size_t>(rows * cols) * size_of(dtype) + 1);
    for (int64_t i = 0; i < rows * cols; ++i) {
      const float value = static_cast<float>((i * 37) % 255 - 127) / 16.0f;
      values.push_back(value);
      std::byte* to = bytes.data() + 1 + static_cast<size_t>(i) * size_of(dtype);
      if (dtype == DType::kF32) {
        std::memcpy(to, &value, 4);
      } else {
        const uint16_t bits = dtype == DType::kBF16 ? float_to_bf16(value) : exact_f16(value);
        std::memcpy(to, &bits, 2);
      }
    }
    view = {.dtype = dtype, .shape = {rows, cols}, .data = bytes.data() + 1};
  }

  // For values whose mantissa fits, by search: the decoder under test elsewhere is not the one that encodes here.
  static uint16_t exact_f16(float value) {
    for (uint32_t bits = 0; bits < 0x10000; ++bits) {
      if (f16_to_float(static_cast<uint16_t>(bits)) == value) return static_cast<uint16_t>(bits);
    }
    ADD_FAILURE() << value << " is not exact in F16";
    return 0;
  }
};

TEST_P(ElementwiseTest, GatherReadsEveryTypeAtAnyAddress) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const int64_t cols : {1, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33}) {
      const Table table(dtype, 11, cols);
      const std::vector<int32_t> ids = {0, 10, 5, 5, 0, 10, 3};
      std::vector<float> y(ids.size() * (cols + 2), -1.0f);
      const MatrixView<float> out(y.data(), 7, cols, cols + 2);
      gather_rows(table.view, ids, {}, out, pool_, GetParam());
      for (int64_t r = 0; r < 7; ++r) {
        for (int64_t c = 0; c < cols; ++c) ASSERT_EQ(out.row(r)[c], table.values[ids[r] * cols + c]) << r << ", " << c;
        ASSERT_EQ(out.row(r)[cols], -1.0f) << "wrote past row " << r;
      }
    }
  }
}

TEST_P(ElementwiseTest, GatherScalesTheTableAndNotWhatIsAdded) {
  constexpr int64_t kCols = 21;
  const Table table(DType::kBF16, 5, kCols);
  const std::vector<float> positions = normal_floats(3 * kCols, 1);
  const std::vector<int32_t> ids = {4, 0, 2, 2}, position_ids = {0, 2, 1, 0};
  const std::vector<AddedRows> added = {{{positions.data(), 3, kCols}, position_ids}};
  std::vector<float> y(ids.size() * kCols);
  gather_rows({table.view, 4.5f}, ids, added, {y.data(), 4, kCols}, pool_, GetParam());
  for (int64_t r = 0; r < 4; ++r) {
    for (int64_t c = 0; c < kCols; ++c) {
      ASSERT_EQ(y[r * kCols + c], 4.5f * table.values[ids[r] * kCols + c] + positions[position_ids[r] * kCols + c]);
    }
  }
}

TEST_P(ElementwiseTest, GatherConvertsEveryHalfFloat) {
  std::vector<uint16_t> bits(0x10000);
  for (size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<uint16_t>(i);
  const std::vector<int32_t> ids = {0};
  std::vector<float> y(bits.size());
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    const TensorView view{
        .dtype = dtype, .shape = {1, 0x10000}, .data = reinterpret_cast<const std::byte*>(bits.data())};
    gather_rows(view, ids, {}, {y.data(), 1, 0x10000}, pool_, GetParam());
    for (size_t i = 0; i < bits.size(); ++i) {
      const float expected = dtype == DType::kF16 ? f16_to_float(bits[i]) : bf16_to_float(bits[i]);
      if (std::isnan(expected)) {
        ASSERT_TRUE(std::isnan(y[i])) << i;
      } else {
        ASSERT_EQ(y[i], expected) << i;
        ASSERT_EQ(std::signbit(y[i]), std::signbit(expected)) << i;
      }
    }
  }
}

TEST_P(ElementwiseTest, GatherAddsRows) {
  constexpr int64_t kCols = 37, kRows = 2000;
  const Table table(DType::kF16, 50, kCols);
  const std::vector<float> positions = normal_floats(9 * kCols, 1), types = normal_floats(2 * (kCols + 4), 2);
  std::vector<int32_t> ids, position_ids, type_ids;
  for (int32_t i = 0; i < kRows; ++i) {
    ids.push_back(i * 7 % 50);
    position_ids.push_back(i % 9);
    type_ids.push_back(i / 3 % 2);
  }
  const std::vector<AddedRows> added = {{{positions.data(), 9, kCols}, position_ids},
                                        {{types.data(), 2, kCols, kCols + 4}, type_ids}};
  std::vector<float> y(kRows * kCols);
  gather_rows(table.view, ids, added, {y.data(), kRows, kCols}, pool_, GetParam());
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t c = 0; c < kCols; ++c) {
      const float expected = (table.values[ids[r] * kCols + c] + positions[position_ids[r] * kCols + c]) +
                             types[type_ids[r] * (kCols + 4) + c];
      ASSERT_EQ(y[r * kCols + c], expected) << r << ", " << c;
    }
  }
}

TEST(GatherErrors, NameTheIdAndItsRange) {
  using testing::HasSubstr;
  ComputePool pool(1);
  const Table table(DType::kF32, 11, 4);
  std::vector<float> y(8);
  const auto message = [&](const TensorView& view, std::vector<int32_t> ids) -> std::string {
    try {
      gather_rows(view, ids, {}, {y.data(), 2, 4}, pool, Isa::kGeneric);
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing thrown";
  };
  EXPECT_THAT(message(table.view, {3, 11}), HasSubstr("table id 1 is 11, expected 0 to 10"));
  EXPECT_THAT(message(table.view, {-1, 0}), HasSubstr("table id 0 is -1"));
  EXPECT_THAT(message(table.view, {0}), HasSubstr("expected 2 table ids"));
  EXPECT_THAT(message({.dtype = DType::kI64, .shape = {2, 4}, .data = table.view.data}, {0, 1}),
              HasSubstr("found I64"));
}

// --- activate ---

double exact(Activation activation, double x) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kGelu:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Activation::kGeluTanh:
      return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kRelu:
      return std::max(x, 0.0);
    case Activation::kTanh:
      return std::tanh(x);
  }
  return 0;
}

constexpr Activation kActivations[] = {Activation::kNone, Activation::kGelu, Activation::kGeluTanh, Activation::kRelu,
                                       Activation::kTanh};

TEST_P(ElementwiseTest, ActivationsAreWithinTheirStatedErrors) {
  constexpr int64_t kCount = 200'003;
  std::vector<float> x(kCount);
  for (int64_t i = 0; i < kCount; ++i) x[i] = static_cast<float>(-12.0 + 24.0 * static_cast<double>(i) / kCount);
  for (const Activation activation : kActivations) {
    std::vector<float> y = x;
    activate(activation, y.data(), kCount, GetParam());
    for (int64_t i = 0; i < kCount; ++i) {
      const double tolerance = activation == Activation::kTanh
                                   ? 4e-7 * std::abs(std::tanh(x[i]))
                                   : 2e-7 * std::max(1.0, std::abs(static_cast<double>(x[i])));
      ASSERT_NEAR(y[i], exact(activation, x[i]), tolerance) << static_cast<int>(activation) << " of " << x[i];
    }
  }
}

TEST_P(ElementwiseTest, ActivationsTouchExactlyTheirElementsAndAgreeAtEveryPosition) {
  for (const Activation activation : kActivations) {
    for (int64_t n = 0; n <= 33; ++n) {
      std::vector<float> x(static_cast<size_t>(n) + 3, 1.25f);
      activate(activation, x.data() + 1, n, GetParam());
      EXPECT_EQ(x[0], 1.25f);
      EXPECT_EQ(x[n + 1], 1.25f);
      for (int64_t i = 2; i <= n; ++i) ASSERT_EQ(x[1], x[i]) << "a vector and a remainder disagree at " << i;
    }
  }
}

// --- apply ---

struct FunctionCase {
  ActivationFunction function;
  double (*exact)(double x);
};

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }
double softplus(double x) { return x > 20.0 ? x : std::log1p(std::exp(x)); }

constexpr FunctionCase kFunctions[] = {
    {ActivationFunction::kIdentity, [](double x) { return x; }},
    {ActivationFunction::kGelu, [](double x) { return exact(Activation::kGelu, x); }},
    {ActivationFunction::kGeluTanh, [](double x) { return exact(Activation::kGeluTanh, x); }},
    {ActivationFunction::kRelu, [](double x) { return std::max(x, 0.0); }},
    {ActivationFunction::kTanh, [](double x) { return std::tanh(x); }},
    {ActivationFunction::kSilu, [](double x) { return x * sigmoid(x); }},
    {ActivationFunction::kQuickGelu, [](double x) { return x * sigmoid(1.702 * x); }},
    {ActivationFunction::kSigmoid, sigmoid},
    {ActivationFunction::kMish, [](double x) { return x * std::tanh(std::log1p(std::exp(x))); }},
    {ActivationFunction::kClippedGelu, [](double x) { return std::min(exact(Activation::kGelu, x), 10.0); }},
    {ActivationFunction::kLaplace,
     [](double x) { return 0.5 * (1.0 + std::erf((x - 0.707107) / (0.282095 * std::sqrt(2.0)))); }},
    {ActivationFunction::kReluSquared, [](double x) { return std::max(x, 0.0) * std::max(x, 0.0); }},
    {ActivationFunction::kRelu6, [](double x) { return std::clamp(x, 0.0, 6.0); }},
    {ActivationFunction::kLeakyRelu, [](double x) { return x < 0 ? 0.01 * x : x; }},
    {ActivationFunction::kRrelu, [](double x) { return x < 0 ? x * 11.0 / 48.0 : x; }},
    {ActivationFunction::kElu, [](double x) { return x < 0 ? std::expm1(x) : x; }},
    {ActivationFunction::kSelu,
     [](double x) { return 1.0507009873554805 * (x < 0 ? 1.6732632423543772 * std::expm1(x) : x); }},
    {ActivationFunction::kSoftplus, softplus},
    {ActivationFunction::kSqrtSoftplus, [](double x) { return std::sqrt(softplus(x)); }},
    {ActivationFunction::kHardswish, [](double x) { return x * std::clamp(x + 3.0, 0.0, 6.0) / 6.0; }},
    {ActivationFunction::kHardsigmoid, [](double x) { return std::clamp(x + 3.0, 0.0, 6.0) / 6.0; }},
    {ActivationFunction::kHardtanh, [](double x) { return std::clamp(x, -1.0, 1.0); }},
    {ActivationFunction::kSoftsign, [](double x) { return x / (1.0 + std::abs(x)); }},
    {ActivationFunction::kLogSigmoid, [](double x) { return std::min(x, 0.0) - std::log1p(std::exp(-std::abs(x))); }},
    {ActivationFunction::kTanhshrink, [](double x) { return x - std::tanh(x); }},
    {ActivationFunction::kSoftshrink, [](double x) { return x > 0.5    ? x - 0.5
                                                            : x < -0.5 ? x + 0.5
                                                                       : 0.0; }},
    {ActivationFunction::kHardshrink, [](double x) { return std::abs(x) <= 0.5 ? 0.0 : x; }},
};

TEST_P(ElementwiseTest, EveryActivationFunctionIsItsDefinition) {
  constexpr int64_t kCount = 20'011;
  std::vector<float> x(kCount);
  for (int64_t i = 0; i < kCount; ++i) x[i] = static_cast<float>(-40.0 + 80.0 * static_cast<double>(i) / kCount);
  x.insert(x.end(), {0.0f, -0.0f, 0.5f, -0.5f, 1e-40f, 87.0f, -87.0f, 1e9f, -1e9f, kNan});
  for (const auto& [function, definition] : kFunctions) {
    std::vector<float> y = x;
    apply(function, y.data(), static_cast<int64_t>(y.size()), GetParam());
    for (size_t i = 0; i + 1 < x.size(); ++i) {
      const double expected = definition(x[i]);
      ASSERT_NEAR(y[i], expected, 5e-7 * std::max({1.0, std::abs(expected), std::abs(double{x[i]})}))
          << name_of(function) << " of " << x[i];
    }
    EXPECT_TRUE(std::isnan(y.back())) << name_of(function);
  }
}

// Rows of a matrix with more columns than the view has.
TEST_P(ElementwiseTest, AppliesAFunctionToTheRowsOfAView) {
  std::vector<float> values(5 * 8, -1.0f);
  const MatrixView<float> all{values.data(), 5, 8};
  apply(ActivationFunction::kSigmoid, all.slice_cols(2, 3), ComputePool::global(), GetParam());
  for (int64_t row = 0; row < 5; ++row) {
    for (int64_t col = 0; col < 8; ++col) {
      EXPECT_NEAR(all.row(row)[col], col >= 2 && col < 5 ? sigmoid(-1.0) : -1.0, 1e-6) << row << ", " << col;
    }
  }
}

TEST_P(ElementwiseTest, ActivationsOfExtremeValues) {
  const std::vector<float> x = {0.0f, -0.0f, 1e-40f, -1e-40f, 1e30f, -1e30f, 88.0f, -88.0f, kInfinity, kNan};
  for (const Activation activation : kActivations) {
    std::vector<float> y = x;
    activate(activation, y.data(), static_cast<int64_t>(y.size()), GetParam());
    for (size_t i = 0; i + 1 < x.size(); ++i) {
      const double expected = exact(activation, x[i]);
      if (std::isinf(expected)) {
        EXPECT_EQ(y[i], kInfinity);
      } else {
        EXPECT_NEAR(y[i], expected, 1e-6 * std::abs(expected) + 1e-43)
            << static_cast<int>(activation) << " of " << x[i];
      }
    }
    EXPECT_TRUE(std::isnan(y.back())) << static_cast<int>(activation);
  }
}

}  // namespace
}  // namespace remuda::kernels
