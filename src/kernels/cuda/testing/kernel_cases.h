// The tests of the GPU's kernels, written once for both machines: `Runner` runs kernels on a GPU (GpuRunner) or on the
// processor (HostRunner, host_runner.h). Results are compared with the definitions over ragged sizes; what lies beyond
// an output must survive.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "kernels/cuda/element.h"
#include "kernels/cuda/testing/kernel_reference.h"

namespace remuda::kernels::cuda {

// What went wrong, nothing at first.
struct CaseReport {
  int64_t compared = 0;
  std::vector<std::string> problems;

  void add(const std::string& problem) {
    if (problems.size() < 20) problems.push_back(problem);
  }
};

// How far a rounded result may be from the definition: a share of its size, and something absolute.
struct Tolerance {
  double relative;
  double absolute;
};
template <class Element>
constexpr double half_step() {
  if (sizeof(Element) == 4) return 0x1p-24;
  return std::is_same_v<Element, Float16> ? 0x1p-11 : 0x1p-8;
}
template <class Element>
const char* element_name() {
  if (sizeof(Element) == 4) return "fp32";
  return std::is_same_v<Element, Float16> ? "fp16" : "bf16";
}

class Numbers {
 public:
  explicit Numbers(uint32_t seed) : random_(seed) {}

  template <class Element>
  std::vector<Element> normal(size_t count, float spread = 1.0f, float middle = 0.0f) {
    std::normal_distribution<float> normal(middle, spread);
    std::vector<Element> values(count);
    for (Element& value : values) value = from_float<Element>(normal(random_));
    return values;
  }
  std::vector<int32_t> below(size_t count, int32_t end) {
    std::vector<int32_t> values(count);
    for (int32_t& value : values) value = static_cast<int32_t>(random_() % static_cast<uint32_t>(end));
    return values;
  }

 private:
  std::mt19937 random_;
};

// An output in the runner's memory, every byte poisoned, with a guard behind it.
template <class Element, class Runner>
class GuardedOutput {
 public:
  GuardedOutput(Runner& runner, size_t count) : runner_(runner), initial_(count + kGuard) {
    std::memset(static_cast<void*>(initial_.data()), kPoison, initial_.size() * sizeof(Element));
    data_ = runner.upload(initial_);
  }
  // In place: the output begins as this.
  GuardedOutput(Runner& runner, std::vector<Element> begin) : GuardedOutput(runner, begin.size()) {
    std::copy(begin.begin(), begin.end(), initial_.begin());
    data_ = runner.upload(initial_);
  }

  Element* data() const { return data_; }

  std::vector<Element> read(CaseReport& report, const std::string& what) const {
    std::vector<Element> found = runner_.download(data_, initial_.size());
    const size_t count = found.size() - kGuard;
    if (std::memcmp(found.data() + count, initial_.data() + count, kGuard * sizeof(Element)) != 0) {
      report.add(what + ": wrote behind its output");
    }
    found.resize(count);
    return found;
  }

 private:
  static constexpr size_t kGuard = 64;
  static constexpr int kPoison = 0xff;

  Runner& runner_;
  std::vector<Element> initial_;
  Element* data_;
};

inline void expect_near(CaseReport& report, const std::string& what, double found, double expected,
                        Tolerance tolerance) {
  ++report.compared;
  if (found == expected) return;
  if (std::isnan(found) && std::isnan(expected)) return;
  const double allowed = tolerance.absolute + tolerance.relative * std::abs(expected);
  if (!(std::abs(found - expected) <= allowed)) {
    report.add(what + ": expected " + std::to_string(expected) + ", found " + std::to_string(found));
  }
}

template <class Element>
Doubles row_of(const std::vector<Element>& values, size_t row, size_t columns) {
  Doubles result;
  for (size_t i = 0; i < columns; ++i) result.push_back(static_cast<double>(to_float(values[row * columns + i])));
  return result;
}

template <class Element, class Runner>
void layer_norm_case(Runner& runner, CaseReport& report, int64_t rows, int columns, bool adds) {
  const std::string what = std::string("layer_norm ") + element_name<Element>() + " [" + std::to_string(rows) + ", " +
                           std::to_string(columns) + (adds ? "], sum" : "]");
  Numbers numbers(static_cast<uint32_t>(columns));
  const size_t width = static_cast<size_t>(columns);
  const size_t size = static_cast<size_t>(rows) * width;
  const auto x = numbers.normal<Element>(size, 2.0f, 5.0f);
  const auto residual = numbers.normal<Element>(size);
  const auto bias = numbers.normal<float>(width);
  const auto gamma = numbers.normal<float>(width, 0.2f, 1.0f);
  const auto beta = numbers.normal<float>(width);
  constexpr float kEpsilon = 1e-5f;
  // In place where nothing else tells the cases apart: models do both.
  const GuardedOutput<Element, Runner> y(runner, adds ? residual : x);
  runner.layer_norm(LayerNormParams<Element>{.x = adds ? runner.upload(x) : y.data(),
                                             .bias = adds ? runner.upload(bias) : nullptr,
                                             .residual = adds ? y.data() : nullptr,
                                             .norm = {runner.upload(gamma), runner.upload(beta), kEpsilon},
                                             .y = y.data(),
                                             .rows = rows,
                                             .columns = columns});
  const std::vector<Element> found = y.read(report, what);
  for (size_t r = 0; r < static_cast<size_t>(rows); ++r) {
    Doubles row = row_of(x, r, width);
    for (size_t i = 0; adds && i < width; ++i) {
      row[i] += static_cast<double>(bias[i]) + static_cast<double>(to_float(residual[r * width + i]));
    }
    const Doubles expected = reference_layer_norm(row, gamma, beta, static_cast<double>(kEpsilon));
    const Doubles got = row_of(found, r, width);
    for (size_t i = 0; i < width; ++i) {
      expect_near(report, what, got[i], expected[i], {half_step<Element>() * 1.01, 6e-6});
    }
  }
}

template <class Element, class Runner>
void embed_case(Runner& runner, CaseReport& report, int64_t rows, int columns) {
  const std::string what = std::string("embed ") + element_name<Element>() + " [" + std::to_string(rows) + ", " +
                           std::to_string(columns) + "]";
  constexpr int32_t kVocabulary = 50;
  constexpr int32_t kPositions = 20;
  constexpr float kScale = 1.75f;
  constexpr float kEpsilon = 1e-12f;
  Numbers numbers(static_cast<uint32_t>(columns) + 1);
  const size_t width = static_cast<size_t>(columns);
  const auto words = numbers.normal<Element>(kVocabulary * width);
  const auto positions = numbers.normal<float>(kPositions * width, 0.3f);
  const auto gamma = numbers.normal<float>(width, 0.2f, 1.0f);
  const auto beta = numbers.normal<float>(width);
  const auto ids = numbers.below(static_cast<size_t>(rows), kVocabulary);
  const auto position_ids = numbers.below(static_cast<size_t>(rows), kPositions);
  const GuardedOutput<Element, Runner> y(runner, static_cast<size_t>(rows) * width);
  runner.embed(EmbedParams<Element>{.ids = runner.upload(ids),
                                    .position_ids = runner.upload(position_ids),
                                    .words = runner.upload(words),
                                    .positions = runner.upload(positions),
                                    .scale = kScale,
                                    .norm = {runner.upload(gamma), runner.upload(beta), kEpsilon},
                                    .y = y.data(),
                                    .rows = rows,
                                    .columns = columns});
  const std::vector<Element> found = y.read(report, what);
  for (size_t r = 0; r < static_cast<size_t>(rows); ++r) {
    Doubles row = row_of(words, static_cast<size_t>(ids[r]), width);
    for (size_t i = 0; i < width; ++i) {
      row[i] *= static_cast<double>(kScale);
      row[i] += static_cast<double>(positions[static_cast<size_t>(position_ids[r]) * width + i]);
    }
    const Doubles expected = reference_layer_norm(row, gamma, beta, static_cast<double>(kEpsilon));
    const Doubles got = row_of(found, r, width);
    for (size_t i = 0; i < width; ++i) {
      expect_near(report, what, got[i], expected[i], {half_step<Element>() * 1.01, 6e-6});
    }
  }
}

template <class Element, class Runner>
void activate_case(Runner& runner, CaseReport& report, Activation activation, int64_t rows, int columns) {
  const std::string what = std::string("activate ") + element_name<Element>() + " " +
                           std::to_string(static_cast<int>(activation)) + " [" + std::to_string(rows) + ", " +
                           std::to_string(columns) + "]";
  Numbers numbers(static_cast<uint32_t>(columns) + 2);
  const size_t width = static_cast<size_t>(columns);
  const auto x = numbers.normal<Element>(static_cast<size_t>(rows) * width, 3.0f);
  const auto bias = numbers.normal<float>(width);
  const GuardedOutput<Element, Runner> y(runner, x);
  runner.activate(ActivateParams<Element>{
      .x = y.data(), .bias = runner.upload(bias), .activation = activation, .rows = rows, .columns = columns});
  const std::vector<Element> found = y.read(report, what);
  for (size_t i = 0; i < x.size(); ++i) {
    // The sum is a float; of it the function is exact to a few steps of a number near one.
    const float sum = to_float(x[i]) + bias[i % width];
    expect_near(report, what, static_cast<double>(to_float(found[i])),
                reference_activation(activation, static_cast<double>(sum)), {half_step<Element>() * 1.01, 1e-6});
  }
}

template <class Element, class Runner>
void pool_case(Runner& runner, CaseReport& report, PoolingMode mode, const std::vector<int32_t>& lengths, int columns) {
  const std::string what = std::string("pool ") + element_name<Element>() + " " +
                           std::to_string(static_cast<int>(mode)) + " of " + std::to_string(columns) + " columns";
  Numbers numbers(static_cast<uint32_t>(columns) + 3);
  std::vector<int32_t> offsets = {0};
  std::vector<int32_t> skipped;
  for (const int32_t length : lengths) {
    skipped.push_back(static_cast<int32_t>(offsets.size()) % 4);  // In a short sequence all of it, and more.
    offsets.push_back(offsets.back() + length);
  }
  const size_t width = static_cast<size_t>(columns);
  const size_t out_stride = width + 3;  // As where several ways of pooling lie beside each other.
  const auto x = numbers.normal<Element>(static_cast<size_t>(offsets.back()) * width);
  const GuardedOutput<float, Runner> out(runner, lengths.size() * out_stride);
  runner.pool(PoolParams<Element>{.x = runner.upload(x),
                                  .offsets = runner.upload(offsets),
                                  .skipped = runner.upload(skipped),
                                  .mode = mode,
                                  .out = out.data(),
                                  .out_stride = static_cast<int64_t>(out_stride),
                                  .sequences = static_cast<int64_t>(lengths.size()),
                                  .columns = columns});
  const std::vector<float> found = out.read(report, what);
  for (size_t s = 0; s < lengths.size(); ++s) {
    for (size_t c = 0; c < out_stride; ++c) {
      const float got = found[s * out_stride + c];
      if (c >= width) {
        if (!std::isnan(got)) report.add(what + ": wrote beside its columns");
        continue;
      }
      Doubles column;
      for (int32_t t = offsets[s]; t < offsets[s + 1]; ++t) {
        column.push_back(static_cast<double>(to_float(x[static_cast<size_t>(t) * width + c])));
      }
      expect_near(report, what, static_cast<double>(got), reference_pooled(mode, column, skipped[s]), {1e-6, 2e-6});
    }
  }
}

template <class Runner>
void normalize_case(Runner& runner, CaseReport& report, int64_t rows, int columns) {
  const std::string what = "normalize [" + std::to_string(rows) + ", " + std::to_string(columns) + "]";
  Numbers numbers(static_cast<uint32_t>(columns) + 4);
  const size_t width = static_cast<size_t>(columns);
  auto x = numbers.normal<float>(static_cast<size_t>(rows) * width, 3.0f);
  std::fill_n(x.begin(), width, 0.0f);  // Stays zeros.
  const GuardedOutput<float, Runner> y(runner, x);
  runner.normalize(NormalizeParams{.x = y.data(), .rows = rows, .columns = columns});
  const std::vector<float> found = y.read(report, what);
  for (size_t r = 0; r < static_cast<size_t>(rows); ++r) {
    const Doubles row = row_of(x, r, width);
    double squares = 0.0;
    for (const double value : row) squares += value * value;
    for (size_t i = 0; i < width; ++i) {
      expect_near(report, what, static_cast<double>(found[r * width + i]), row[i] / std::max(std::sqrt(squares), 1e-12),
                  {3e-7, 0.0});
    }
  }
}

template <class From, class To, class Runner>
void convert_case(Runner& runner, CaseReport& report) {
  const std::string what = std::string("convert ") + element_name<From>() + " to " + element_name<To>();
  Numbers numbers(5);
  auto x = numbers.normal<From>(1003, 10.0f);
  x[0] = from_float<From>(1e-7f);     // Below the least normal half.
  x[1] = from_float<From>(70000.0f);  // Above the largest.
  const GuardedOutput<To, Runner> y(runner, x.size());
  runner.convert(ConvertParams<From, To>{runner.upload(x), y.data(), static_cast<int64_t>(x.size())});
  const std::vector<To> found = y.read(report, what);
  for (size_t i = 0; i < x.size(); ++i) {
    const To expected = from_float<To>(to_float(x[i]));
    ++report.compared;
    if (std::memcmp(&found[i], &expected, sizeof(To)) != 0) report.add(what + ": element " + std::to_string(i));
  }
}

}  // namespace remuda::kernels::cuda
