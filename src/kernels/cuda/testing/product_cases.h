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

// Some columns of some rows against the definition, and all rows against themselves among fewer.
template <class Element>
void product_case(GpuRunner& runner, CaseReport& report, int64_t out, int64_t in, bool has_bias) {
  const std::string what = std::string("product ") + element_name<Element>() + " [" + std::to_string(out) + ", " +
                           std::to_string(in) + (has_bias ? "], bias" : "]");
  constexpr int64_t kRows = 1500;
  Numbers numbers(static_cast<uint32_t>(out + in));
  const auto x = numbers.normal<Element>(static_cast<size_t>(kRows * in));
  const auto w = numbers.normal<Element>(static_cast<size_t>(out * in), 0.05f);
  const auto bias = numbers.normal<Element>(static_cast<size_t>(out));
  const Element* const device_w = runner.upload(w);
  const Element* const device_bias = has_bias ? runner.upload(bias) : nullptr;
  const Element* const device_x = runner.upload(x);
  const ProductShape shape = {out, in, element_type_of<Element>, has_bias};
  std::byte* const trial = runner.upload(std::vector<std::byte>(Product::trial_bytes(shape)));
  const Product product(shape, device_w, device_bias, trial, runner.stream());

  std::vector<Element> all;
  for (const int64_t rows : {kRows, int64_t{1}, int64_t{5}, int64_t{64}, int64_t{700}}) {
    const GuardedOutput<Element, GpuRunner> y(runner, static_cast<size_t>(rows * out));
    product.multiply(device_x, device_w, device_bias, y.data(), rows, runner.stream());
    const std::vector<Element> found = y.read(report, what);
    if (all.empty()) all = found;
    ++report.compared;
    if (std::memcmp(found.data(), all.data(), found.size() * sizeof(Element)) != 0) {
      report.add(what + ": rows differ among " + std::to_string(rows));
    }
  }
  for (int64_t row = 0; row < kRows; row += 97) {
    for (int64_t column = 0; column < out; column += 7) {
      double sum = has_bias ? static_cast<double>(to_float(bias[static_cast<size_t>(column)])) : 0.0;
      double size = std::abs(sum);
      for (int64_t i = 0; i < in; ++i) {
        const double term = static_cast<double>(to_float(x[static_cast<size_t>(row * in + i)])) *
                            static_cast<double>(to_float(w[static_cast<size_t>(column * in + i)]));
        sum += term;
        size += std::abs(term);
      }
      // Sums are floats: the error goes by the size of what is added up.
      expect_near(report, what, static_cast<double>(to_float(all[static_cast<size_t>(row * out + column)])), sum,
                  {half_step<Element>() * 1.01, 4e-7 * size});
    }
  }
}

}  // namespace remuda::kernels::cuda
