// The tests of matrix products on a GPU.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/cuda/products.h"
#include "kernels/cuda/testing/gpu_runner.h"
#include "kernels/cuda/testing/kernel_cases.h"

namespace remuda::kernels::cuda {

// Some columns of some rows against the definition, and all rows against themselves among fewer. `Output`: float where
// the shape gives floats.
template <class Element, class Output = Element>
void product_case(GpuRunner& runner, CaseReport& report, const ProductShape& shape) {
  const int64_t out = shape.out_features;
  const int64_t in = shape.in_features;
  const bool has_bias = shape.has_bias;
  const std::string what = std::string("product ") + (shape.uses_tf32 ? "tf32" : element_name<Element>()) + " [" +
                           std::to_string(out) + ", " + std::to_string(in) + (has_bias ? "], bias" : "]") +
                           (shape.gives_floats   ? " of a step, to floats"
                            : shape.has_few_rows ? " of a step"
                                                 : "");
  const int64_t rows_in_all = shape.has_few_rows ? 300 : 1500;
  Numbers numbers(static_cast<uint32_t>(out + in));
  const auto x = numbers.normal<Element>(static_cast<size_t>(rows_in_all * in));
  const auto w = numbers.normal<Element>(static_cast<size_t>(out * in), 0.05f);
  const auto bias = numbers.normal<Element>(static_cast<size_t>(out));
  const Element* const device_w = runner.upload(w);
  const Element* const device_bias = has_bias ? runner.upload(bias) : nullptr;
  const Element* const device_x = runner.upload(x);
  std::byte* const trial = runner.upload(std::vector<std::byte>(Product::trial_bytes(shape)));
  const Product product(shape, device_w, device_bias, trial, runner.stream());

  std::vector<Output> all;
  for (const int64_t rows : {rows_in_all, int64_t{1}, int64_t{5}, int64_t{64}, rows_in_all / 2}) {
    const GuardedOutput<Output, GpuRunner> y(runner, static_cast<size_t>(rows * out));
    product.multiply(device_x, device_w, device_bias, y.data(), rows, runner.stream());
    const std::vector<Output> found = y.read(report, what);
    if (all.empty()) all = found;
    ++report.compared;
    if (std::memcmp(found.data(), all.data(), found.size() * sizeof(Output)) != 0) {
      report.add(what + ": rows differ among " + std::to_string(rows));
    }
  }
  for (int64_t row = 0; row < rows_in_all; row += 97) {
    for (int64_t column = 0; column < out; column += 7) {
      double sum = has_bias ? static_cast<double>(to_float(bias[static_cast<size_t>(column)])) : 0.0;
      double size = std::abs(sum);
      for (int64_t i = 0; i < in; ++i) {
        const double term = static_cast<double>(to_float(x[static_cast<size_t>(row * in + i)])) *
                            static_cast<double>(to_float(w[static_cast<size_t>(column * in + i)]));
        sum += term;
        size += std::abs(term);
      }
      // The error goes by the size of what is added up: sums are floats, and TF32 may cut off what it has no bits for.
      expect_near(report, what, static_cast<double>(to_float(all[static_cast<size_t>(row * out + column)])), sum,
                  {half_step<Output>() * 1.01, (shape.uses_tf32 ? 0x1.01p-9 : 4e-7) * size});
    }
  }
}

}  // namespace remuda::kernels::cuda
