// The tests of a decoder's step, for both machines, as in kernel_cases.h.
#pragma once

#include <algorithm>
#include <limits>
#include <numeric>

#include "kernels/cuda/decode_body.h"
#include "kernels/cuda/testing/kernel_cases.h"

namespace remuda::kernels::cuda {

// Sequences whose tables name rows of one log in any order, some of them the same.
template <class Element, class Runner>
void cached_attention_case(Runner& runner, CaseReport& report, int head_dim) {
  const std::string what =
      std::string("cached attention ") + element_name<Element>() + ", heads of " + std::to_string(head_dim);
  constexpr int kHeads = 3;
  constexpr int32_t kLogRows = 150;
  constexpr int64_t kTableStride = 72;
  const std::vector<int32_t> lengths = {1, 31, 32, 33, 70};
  const size_t width = static_cast<size_t>(kHeads * head_dim);
  Numbers numbers(static_cast<uint32_t>(head_dim) + 11);
  const auto q = numbers.normal<Element>(lengths.size() * width);
  const auto keys = numbers.normal<Element>(kLogRows * width);
  const auto values = numbers.normal<Element>(kLogRows * width);
  const auto tables = numbers.below(lengths.size() * kTableStride, kLogRows);
  const GuardedOutput<Element, Runner> out(runner, q.size());
  const double scale = 1.0 / std::sqrt(static_cast<double>(head_dim));
  runner.cached_attention(CachedAttentionParams<Element>{.q = runner.upload(q),
                                                         .q_stride = static_cast<int64_t>(width),
                                                         .keys = runner.upload(keys),
                                                         .values = runner.upload(values),
                                                         .tables = runner.upload(tables),
                                                         .lengths = runner.upload(lengths),
                                                         .table_stride = kTableStride,
                                                         .out = out.data(),
                                                         .out_stride = static_cast<int64_t>(width),
                                                         .sequences = static_cast<int64_t>(lengths.size()),
                                                         .num_heads = kHeads,
                                                         .head_dim = head_dim,
                                                         .scale = static_cast<float>(scale)});
  const std::vector<Element> found = out.read(report, what);
  for (size_t s = 0; s < lengths.size(); ++s) {
    for (size_t column = 0; column < width; column += static_cast<size_t>(head_dim)) {
      const auto head_of = [&](const std::vector<Element>& from, size_t row) {
        const Doubles whole = row_of(from, row, width);
        const auto begin = whole.begin() + static_cast<int64_t>(column);
        return Doubles(begin, begin + head_dim);
      };
      Doubles head_keys, head_values;
      for (int32_t position = 0; position < lengths[s]; ++position) {
        const auto row = static_cast<size_t>(tables[s * kTableStride + static_cast<size_t>(position)]);
        const Doubles key = head_of(keys, row);
        const Doubles value = head_of(values, row);
        head_keys.insert(head_keys.end(), key.begin(), key.end());
        head_values.insert(head_values.end(), value.begin(), value.end());
      }
      const Doubles expected = reference_query(head_of(q, s), head_keys, head_values, scale);
      const Doubles got = head_of(found, s);
      for (size_t d = 0; d < expected.size(); ++d) {
        expect_near(report, what, got[d], expected[d], {half_step<Element>() * 1.01, 3e-6});
      }
    }
  }
}

// With equals among the greatest, and at the end of what is asked for.
template <class Runner>
void top_tokens_case(Runner& runner, CaseReport& report, int64_t rows, int vocabulary, int k) {
  const std::string what = "top " + std::to_string(k) + " tokens of " + std::to_string(vocabulary);
  const size_t width = static_cast<size_t>(vocabulary);
  const size_t count = static_cast<size_t>(k);
  Numbers numbers(static_cast<uint32_t>(vocabulary));
  auto logits = numbers.normal<float>(static_cast<size_t>(rows) * width, 3.0f);
  for (float& logit : logits) logit = std::round(logit * 4.0f) / 4.0f;
  const GuardedOutput<float, Runner> scores(runner, static_cast<size_t>(rows) * count);
  const GuardedOutput<int32_t, Runner> tokens(runner, static_cast<size_t>(rows) * count);
  runner.top_tokens({.logits = runner.upload(logits),
                     .rows = rows,
                     .vocabulary = vocabulary,
                     .k = k,
                     .scores = scores.data(),
                     .tokens = tokens.data()});
  const std::vector<float> found_scores = scores.read(report, what);
  const std::vector<int32_t> found_tokens = tokens.read(report, what);
  for (size_t r = 0; r < static_cast<size_t>(rows); ++r) {
    const float* const row = logits.data() + r * width;
    std::vector<int32_t> order(width);
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(),
              [&](int32_t a, int32_t b) { return std::pair(-row[a], a) < std::pair(-row[b], b); });
    double sum = 0.0;
    for (size_t i = 0; i < width; ++i) sum += std::exp(static_cast<double>(row[i] - row[order[0]]));
    for (size_t i = 0; i < count; ++i) {
      if (found_tokens[r * count + i] != order[i]) report.add(what + ": token " + std::to_string(i));
      const double expected = static_cast<double>(row[order[i]] - row[order[0]]) - std::log(sum);
      expect_near(report, what, static_cast<double>(found_scores[r * count + i]), expected, {3e-7, 2e-6});
    }
  }
}

// A NaN, an infinity, and nothing but minus infinity: no score is a number, and no token outside the vocabulary.
template <class Runner>
void top_tokens_broken_case(Runner& runner, CaseReport& report) {
  const std::string what = "top tokens of a broken row";
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> logits = {1.0f, kNan, kNan,       kNan,       0.0f,       kInfinity,
                                     2.0f, 3.0f, -kInfinity, -kInfinity, -kInfinity, -kInfinity};
  const GuardedOutput<float, Runner> scores(runner, 9);
  const GuardedOutput<int32_t, Runner> tokens(runner, 9);
  runner.top_tokens({.logits = runner.upload(logits),
                     .rows = 3,
                     .vocabulary = 4,
                     .k = 3,
                     .scores = scores.data(),
                     .tokens = tokens.data()});
  for (const float score : scores.read(report, what)) {
    ++report.compared;
    if (!std::isnan(score)) report.add(what + ": a score that is a number");
  }
  for (const int32_t token : tokens.read(report, what)) {
    if (token < -1 || token >= 4) report.add(what + ": token " + std::to_string(token));
  }
}

}  // namespace remuda::kernels::cuda
