#include "kernels/linear.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "remuda/error.h"
#include "tensor/float16.h"

namespace remuda::kernels {
namespace {

constexpr double kUnit = 0x1p-24;  // Relative error of rounding to float.
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();
const std::vector<Precision> kPrecisions = {Precision::kFp32, Precision::kBf16, Precision::kInt8};

// A matrix of normally distributed numbers of the given type, from an odd address on.
class Weights {
 public:
  Weights(DType dtype, int64_t out, int64_t in, std::mt19937& random) : dtype_(dtype), shape_{out, in} {
    const size_t size = size_of(dtype);
    bytes_.resize(static_cast<size_t>(out * in) * size + 1);
    std::normal_distribution<float> normal;
    for (int64_t i = 0; i < out * in; ++i) {
      const float value = normal(random);
      uint32_t bits;
      std::memcpy(&bits, &value, sizeof(bits));
      if (dtype == DType::kBF16) bits = float_to_bf16(value);
      // A sign, an exponent from 2^-5 to 2^2, any significand.
      if (dtype == DType::kF16) bits = (bits >> 16 & 0x8000u) | (10 + bits % 8) << 10 | (bits >> 3 & 0x3ffu);
      std::memcpy(bytes_.data() + 1 + static_cast<size_t>(i) * size, &bits, size);
    }
  }

  TensorView view() const { return {dtype_, shape_, bytes_.data() + 1}; }

 private:
  DType dtype_;
  Shape shape_;
  std::vector<std::byte> bytes_;
};

std::vector<TensorView> views(const std::vector<Weights>& matrices) {
  std::vector<TensorView> result;
  for (const Weights& matrix : matrices) result.push_back(matrix.view());
  return result;
}

// A matrix whose rows are padded, one float past the start of the allocation: never aligned to a vector.
class Padded {
 public:
  static constexpr int64_t kPadding = 3;

  Padded(int64_t rows, int64_t cols, float padding)
      : rows_(rows), cols_(cols), padding_(padding), values_(rows * (cols + kPadding) + 1, padding) {}

  MatrixView<float> view() { return {values_.data() + 1, rows_, cols_, cols_ + kPadding}; }
  void fill_normal(std::mt19937& random) {
    std::normal_distribution<float> normal;
    for (int64_t r = 0; r < rows_; ++r) std::generate_n(view().row(r), cols_, [&] { return normal(random); });
  }
  bool padding_is_untouched() {
    const auto same = [&](const float& value) { return std::memcmp(&value, &padding_, sizeof(float)) == 0; };
    bool untouched = same(values_.front());
    for (int64_t r = 0; r < rows_; ++r) {
      const float* end = view().row(r) + cols_;
      untouched = untouched && std::all_of(end, end + kPadding, same);
    }
    return untouched;
  }

 private:
  int64_t rows_;
  int64_t cols_;
  float padding_;
  std::vector<float> values_;
};

// A number, and how far a correct computation may be from it.
struct Bounded {
  double value;
  double error;
};

// x W^T by definition, in double, of what a precision makes of x and W.
class Reference {
 public:
  Reference(MatrixView<const float> x, const std::vector<TensorView>& matrices, Precision precision, Isa isa)
      : precision_(precision), in_(x.cols) {
    for (int64_t r = 0; r < x.rows; ++r) x_.insert(x_.end(), x.row(r), x.row(r) + in_);
    for (const TensorView& matrix : matrices) {
      for (int64_t i = 0; i < matrix.size(); ++i) weights_.push_back(matrix.at(i));
    }
    if (precision == Precision::kBf16) {
      round_to_bf16(weights_);
      if (isa >= Isa::kAvx512Bf16) round_to_bf16(x_);  // The only one that multiplies bf16 by bf16.
    }
    if (precision == Precision::kInt8) {
      x_steps_ = quantize(x_, true);
      weight_steps_ = quantize(weights_, false);
    }
  }

  Bounded operator()(int64_t row, int64_t output) const {
    const float* x = x_.data() + row * in_;
    const float* w = weights_.data() + output * in_;
    double sum = 0, magnitude = 0, weight_sum = 0;
    for (int64_t k = 0; k < in_; ++k) {
      const double product = static_cast<double>(x[k]) * static_cast<double>(w[k]);
      sum += product;
      magnitude += std::abs(product);
      weight_sum += static_cast<double>(w[k]);
    }
    if (precision_ == Precision::kInt8) {
      // Both sums are whole numbers and exact; their conversions, the multiplications and the last addition round.
      const auto [x_step, center] = x_steps_[row];
      const double step = static_cast<double>(weight_steps_[output].size);
      const double value = sum * static_cast<double>(x_step) * step;
      const double shift = static_cast<double>(center) * weight_sum * step;
      return {value + shift, 4.01 * kUnit * (std::abs(value) + std::abs(shift))};
    }
    // A chain of additions (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1); what is smaller
    // than a normal float may be taken for 0.
    return {sum, static_cast<double>(in_) * 1.01 * kUnit * magnitude + static_cast<double>(in_) * 0x1p-126};
  }

 private:
  static void round_to_bf16(std::vector<float>& values) {
    for (float& value : values) value = bf16_to_float(float_to_bf16(value));
  }

  struct Step {
    float size;
    float center;  // What 0 stands for.
  };

  // Makes each row whole numbers from -127 to 127, around zero or around the middle of its range.
  std::vector<Step> quantize(std::vector<float>& values, bool around_middle) const {
    std::vector<Step> steps;
    for (auto row = values.begin(); row != values.end(); row += in_) {
      const float low = std::min(0.0f, *std::min_element(row, row + in_));
      const float high = std::max(0.0f, *std::max_element(row, row + in_));
      const float center = around_middle ? 0.5f * high + 0.5f * low : 0.0f;
      const float reach = around_middle ? 0.5f * high - 0.5f * low : std::max(high, -low);
      const float inverse = reach > 0 ? 127.0f / reach : 0.0f;
      for (int64_t k = 0; k < in_; ++k) {
        row[k] = std::clamp(std::nearbyint((row[k] - center) * inverse), -127.0f, 127.0f);
      }
      steps.push_back({reach / 127.0f, center});
    }
    return steps;
  }

  Precision precision_;
  int64_t in_;
  std::vector<float> x_, weights_;
  std::vector<Step> x_steps_, weight_steps_;
};

// What the activation is, and what simd_math.h promises of its error.
Bounded activate(Activation activation, double x) {
  const double scale = std::max(1.0, std::abs(x));
  switch (activation) {
    case Activation::kNone:
      return {x, 0};
    case Activation::kGelu:
      return {0.5 * x * std::erfc(-x * std::sqrt(0.5)), 2e-7 * scale};
    case Activation::kGeluTanh:
      return {x / (1 + std::exp(-2 * std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x))), 4e-7 * scale};
    case Activation::kRelu:
      return {std::max(x, 0.0), 0};
    case Activation::kTanh:
      return {std::tanh(x), 4e-7};
  }
  return {kNan, 0};
}

Bounded add(Bounded a, float b) {
  const double value = a.value + static_cast<double>(b);
  return {value, a.error + kUnit * (std::abs(value) + a.error)};
}

Bounded expected_output(Bounded sum, Activation activation, const float* bias, const float* residual) {
  if (bias != nullptr) sum = add(sum, *bias);
  // No activation's slope exceeds 1.13 (GELU's is largest at sqrt 2).
  Bounded result = activate(activation, sum.value);
  result.error += 1.13 * sum.error;
  return residual == nullptr ? result : add(result, *residual);
}

enum class Residual { kNone, kApart, kInPlace };

struct Case {
  int64_t rows = 7;
  std::vector<int64_t> outs = {65};
  int64_t in = 33;
  Activation activation = Activation::kNone;
  bool bias = true;
  Residual residual = Residual::kNone;
  uint32_t seed = 1;

  std::string name() const {
    return "rows " + std::to_string(rows) + ", outs " + testing::PrintToString(outs) + ", in " + std::to_string(in) +
           ", activation " + std::to_string(static_cast<int>(activation)) + ", bias " + std::to_string(bias) +
           ", residual " + std::to_string(static_cast<int>(residual));
  }
};

std::string name(Isa isa, Precision precision) {
  return std::string(to_string(isa)).append(" ").append(to_string(precision));
}

// Holds every instruction set, at every precision, to the definition.
class CaseTest {
 public:
  explicit CaseTest(const Case& c)
      : case_(c),
        random_(c.seed),
        out_(std::accumulate(c.outs.begin(), c.outs.end(), int64_t{0})),
        x_(c.rows, c.in, kNan),
        residual_(c.rows, out_, kNan) {
    const DType types[] = {DType::kF32, DType::kF16, DType::kBF16};
    for (size_t i = 0; i < c.outs.size(); ++i)
      matrices_.emplace_back(types[(c.seed + i) % 3], c.outs[i], c.in, random_);
    x_.fill_normal(random_);
    residual_.fill_normal(random_);
    std::normal_distribution<float> normal;
    std::generate_n(std::back_inserter(bias_), out_, [&] { return normal(random_); });
  }

  void run(const std::vector<ComputePool*>& pools) {
    SCOPED_TRACE(case_.name());
    for (const Precision precision : kPrecisions) {
      for (const Isa isa : available_isas()) {
        const Reference reference(x_.view(), views(matrices_), precision, isa);
        for (ComputePool* pool : pools) {
          SCOPED_TRACE(name(isa, precision) + ", threads " + std::to_string(pool->threads()));
          check(reference, precision, isa, *pool);
          if (testing::Test::HasFatalFailure()) return;
        }
      }
    }
  }

 private:
  void check(const Reference& reference, Precision precision, Isa isa, ComputePool& pool) {
    const PackedWeights packed(views(matrices_), precision, pool, isa);
    ASSERT_EQ(packed.out_features(), out_);
    ASSERT_EQ(packed.in_features(), case_.in);
    Padded y(case_.rows, out_, 12345.0f);
    Epilogue epilogue{.bias = case_.bias ? bias_.data() : nullptr, .activation = case_.activation};
    if (case_.residual == Residual::kApart) epilogue.residual = residual_.view();
    if (case_.residual == Residual::kInPlace) {
      epilogue.residual = y.view();
      for (int64_t r = 0; r < case_.rows; ++r) std::copy_n(residual_.view().row(r), out_, y.view().row(r));
    }
    linear(x_.view(), packed, epilogue, y.view(), pool);
    ASSERT_TRUE(y.padding_is_untouched());
    for (int64_t r = 0; r < case_.rows; ++r) {
      for (int64_t o = 0; o < out_; ++o) {
        const float* residual = case_.residual == Residual::kNone ? nullptr : residual_.view().row(r) + o;
        const Bounded expected =
            expected_output(reference(r, o), case_.activation, case_.bias ? &bias_[o] : nullptr, residual);
        ASSERT_NEAR(y.view().row(r)[o], expected.value, expected.error) << "row " << r << ", output " << o;
      }
    }
  }

  Case case_;
  std::mt19937 random_;
  int64_t out_;
  Padded x_;
  Padded residual_;
  std::vector<Weights> matrices_;
  std::vector<float> bias_;
};

const std::vector<int64_t> kSizes = {1, 2, 3, 15, 16, 17, 31, 33, 63, 64, 65, 100, 130, 384};

TEST(Linear, EveryPairOfSizes) {
  ComputePool alone(1);
  uint32_t seed = 0;
  for (const int64_t out : kSizes) {
    for (const int64_t in : kSizes) {
      ++seed;
      CaseTest({.rows = seed % 5, .outs = {out}, .in = in, .bias = seed % 2 == 0, .seed = seed}).run({&alone});
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Linear, EveryNumberOfRows) {
  ComputePool alone(1), three(3);
  std::vector<int64_t> counts(15);
  std::iota(counts.begin(), counts.end(), 0);
  counts.push_back(100);
  for (const int64_t rows : counts) {
    for (const int64_t out : {17, 100}) {
      CaseTest({.rows = rows, .outs = {out}, .in = 65, .seed = static_cast<uint32_t>(rows)}).run({&alone, &three});
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Linear, EveryEpilogue) {
  ComputePool three(3);
  uint32_t seed = 0;
  for (const Activation activation :
       {Activation::kNone, Activation::kGelu, Activation::kGeluTanh, Activation::kRelu, Activation::kTanh}) {
    for (const Residual residual : {Residual::kNone, Residual::kApart, Residual::kInPlace}) {
      for (const bool bias : {false, true}) {
        CaseTest({.outs = {45}, .in = 17, .activation = activation, .bias = bias, .residual = residual, .seed = ++seed})
            .run({&three});
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(Linear, StackedMatricesOfAllTypes) {
  ComputePool alone(1), three(3);
  CaseTest({.outs = {5, 70, 1, 40}, .in = 31}).run({&alone, &three});
  CaseTest({.rows = 14, .outs = {64, 64, 64}, .in = 64, .seed = 2}).run({&alone, &three});
}

// So large that every thread has several blocks of rows, or of panels.
TEST(Linear, LargeProducts) {
  ComputePool three(3);
  CaseTest({.rows = 300, .outs = {150}, .in = 130}).run({&three});
  CaseTest({.rows = 2, .outs = {1500}, .in = 384}).run({&three});
}

// Whatever a row shares its product with, it comes out the same to the last bit.
TEST(Linear, RowsDoNotDependOnTheirCompany) {
  ComputePool alone(1), three(3);
  std::mt19937 random(5);
  constexpr int64_t kRows = 230, kOut = 200, kIn = 99;
  const std::vector<Weights> matrices = {Weights(DType::kF32, kOut, kIn, random)};
  Padded x(kRows, kIn, kNan), residual(kRows, kOut, kNan);
  x.fill_normal(random);
  residual.fill_normal(random);
  for (const Precision precision : kPrecisions) {
    for (const Isa isa : available_isas()) {
      SCOPED_TRACE(name(isa, precision));
      const PackedWeights packed(views(matrices), precision, three, isa);
      const auto product = [&](int64_t begin, int64_t count, ComputePool& pool) {
        std::vector<float> y(static_cast<size_t>(count * kOut));
        linear(x.view().slice_rows(begin, count), packed,
               {.activation = Activation::kGelu, .residual = residual.view().slice_rows(begin, count)},
               {y.data(), count, kOut}, pool);
        return y;
      };
      const std::vector<float> all = product(0, kRows, alone);
      for (const int64_t count : {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 24, 25, 100, 197, 230}) {
        for (const int64_t begin : {int64_t{0}, (kRows - count) / 2, kRows - count}) {
          for (ComputePool* pool : {&alone, &three}) {
            const std::vector<float> some = product(begin, count, *pool);
            ASSERT_EQ(std::memcmp(some.data(), all.data() + begin * kOut, some.size() * sizeof(float)), 0)
                << count << " rows from " << begin << ", threads " << pool->threads();
          }
        }
      }
    }
  }
}

TEST(Linear, WhatIsNotFiniteStaysInItsRow) {
  ComputePool alone(1);
  std::mt19937 random(6);
  constexpr int64_t kRows = 14, kOut = 40, kIn = 37;
  const std::vector<Weights> matrices = {Weights(DType::kF32, kOut, kIn, random)};
  Padded clean(kRows, kIn, 0.0f);
  clean.fill_normal(random);
  for (const float bad : {kNan, kInf, -kInf}) {
    for (const int64_t where : {int64_t{0}, int64_t{20}, kIn - 1}) {
      for (const int64_t bad_row : {int64_t{0}, int64_t{5}, kRows - 1}) {
        Padded dirty = clean;
        dirty.view().row(bad_row)[where] = bad;
        for (const Precision precision : kPrecisions) {
          for (const Isa isa : available_isas()) {
            SCOPED_TRACE(name(isa, precision));
            const PackedWeights packed(views(matrices), precision, alone, isa);
            std::vector<float> expected(kRows * kOut), found(kRows * kOut);
            linear(clean.view(), packed, {}, {expected.data(), kRows, kOut}, alone);
            linear(dirty.view(), packed, {}, {found.data(), kRows, kOut}, alone);
            for (int64_t i = 0; i < kRows * kOut; ++i) {
              if (i / kOut != bad_row) {
                ASSERT_EQ(found[i], expected[i]) << "row " << i / kOut;
              } else {
                ASSERT_FALSE(std::isfinite(found[i])) << bad << " at " << where;
              }
            }
          }
        }
      }
    }
  }
}

TEST(Linear, ZerosGiveTheBias) {
  ComputePool alone(1);
  std::mt19937 random(7);
  constexpr int64_t kRows = 3, kOut = 40, kIn = 37;
  const std::vector<Weights> normal = {Weights(DType::kF32, kOut, kIn, random)};
  const std::vector<float> zeros(kOut * kIn);
  const std::vector<TensorView> nothing = {
      {DType::kF32, {kOut, kIn}, reinterpret_cast<const std::byte*>(zeros.data())}};
  std::vector<float> x(kRows * kIn), bias(kOut), y(kRows * kOut);
  std::iota(bias.begin(), bias.end(), -3.0f);
  for (const Precision precision : kPrecisions) {
    for (const Isa isa : available_isas()) {
      SCOPED_TRACE(name(isa, precision));
      const auto expect_bias = [&](const std::vector<TensorView>& matrices, float value) {
        std::fill(x.begin(), x.end(), value);
        linear({x.data(), kRows, kIn}, PackedWeights(matrices, precision, alone, isa), {.bias = bias.data()},
               {y.data(), kRows, kOut}, alone);
        for (int64_t i = 0; i < kRows * kOut; ++i) ASSERT_EQ(y[i], bias[i % kOut]) << i;
      };
      expect_bias(views(normal), 0.0f);
      expect_bias(nothing, 1.5f);
    }
  }
}

// Against the product of the numbers before quantization: each was moved by half a step at most.
TEST(Linear, Int8IsWithinItsQuantizationOfTheExactProduct) {
  ComputePool alone(1);
  std::mt19937 random(8);
  constexpr int64_t kRows = 5, kOut = 70, kIn = 130;
  const Weights weights(DType::kF32, kOut, kIn, random);
  Padded x(kRows, kIn, kNan);
  x.fill_normal(random);
  for (const Isa isa : available_isas()) {
    SCOPED_TRACE(to_string(isa));
    std::vector<float> y(kRows * kOut);
    linear(x.view(), PackedWeights({weights.view()}, Precision::kInt8, alone, isa), {}, {y.data(), kRows, kOut}, alone);
    for (int64_t r = 0; r < kRows; ++r) {
      for (int64_t o = 0; o < kOut; ++o) {
        double exact = 0, x_sum = 0, w_sum = 0, x_low = 0, x_high = 0, w_most = 0;
        for (int64_t k = 0; k < kIn; ++k) {
          const double a = x.view().row(r)[k], b = weights.view().at(o * kIn + k);
          exact += a * b;
          x_sum += std::abs(a);
          w_sum += std::abs(b);
          x_low = std::min(x_low, a);
          x_high = std::max(x_high, a);
          w_most = std::max(w_most, std::abs(b));
        }
        // Half a step, and a little for the rounding of values of up to 127 steps on their way there.
        const double half_x = 0.5001 * (x_high - x_low) / 2 / 127, half_w = 0.5001 * w_most / 127;
        const double bound = x_sum * half_w + w_sum * half_x + static_cast<double>(kIn) * half_x * half_w;
        ASSERT_NEAR(y[r * kOut + o], exact, bound) << "row " << r << ", output " << o;
      }
    }
  }
}

// The largest sums there are still fit in 32 bits.
TEST(Linear, Int8SumsDoNotOverflow) {
  ComputePool alone(1);
  constexpr int64_t kIn = int64_t{1} << 17;
  std::vector<float> weights(kIn, 3.0f), x(2 * kIn, 2.0f), y(2);
  std::fill(x.begin() + kIn, x.end(), -2.0f);
  const TensorView view{DType::kF32, {1, kIn}, reinterpret_cast<const std::byte*>(weights.data())};
  for (const Isa isa : available_isas()) {
    linear({x.data(), 2, kIn}, PackedWeights({view}, Precision::kInt8, alone, isa), {}, {y.data(), 2, 1}, alone);
    EXPECT_NEAR(y[0], 6.0f * kIn, 6.0f * kIn * 8 * kUnit) << to_string(isa);
    EXPECT_EQ(y[1], -y[0]) << to_string(isa);
  }
}

ErrorCode code_of(const std::vector<TensorView>& matrices, Precision precision) {
  ComputePool alone(1);
  try {
    PackedWeights(matrices, precision, alone);
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "packed";
  return ErrorCode::kInternal;
}

TEST(Linear, RefusesWhatItCannotPack) {
  std::mt19937 random(9);
  const Weights wide(DType::kF32, 2, 8, random), narrow(DType::kF32, 2, 7, random);
  EXPECT_EQ(code_of({wide.view(), narrow.view()}, Precision::kFp32), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of({TensorView{DType::kF32, {16}, wide.view().data}}, Precision::kFp32), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of({wide.view()}, Precision::kFp16), ErrorCode::kUnsupported);
  EXPECT_EQ(code_of({TensorView{DType::kF32, {1, (1 << 17) + 1}, nullptr}}, Precision::kInt8), ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace remuda::kernels
