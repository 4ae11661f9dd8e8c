// The tests of a decoder's step, for both machines, as in kernel_cases.h.
#pragma once

#include <algorithm>

#include "kernels/cuda/decode_body.h"
#include "kernels/cuda/testing/kernel_cases.h"

namespace remuda::kernels::cuda {

// Sequences of several documents, each of which has a log of its own, whose rows they name in any order, some of them
// the same. Of each log the second layer is worked with.
template <class Element>
class CachedAttentionBatch {
 public:
  static constexpr int kHeads = 3;
  static constexpr int kLayers = 3;
  static constexpr int kLayer = 1;

  explicit CachedAttentionBatch(int head_dim)
      : head_dim_(head_dim),
        width_(static_cast<size_t>(kHeads * head_dim)),
        numbers_(static_cast<uint32_t>(head_dim) + 11) {
    qkv_ = numbers_.template normal<Element>(lengths_.size() * 3 * width_);
    for (const size_t rows : log_rows_) logs_.push_back(numbers_.template normal<Element>(kLayers * 2 * rows * width_));
    for (size_t s = 0; s < lengths_.size(); ++s) {
      begins_.push_back(static_cast<int32_t>(tables_.size()));
      // The last row of a log is that of its newest sequence, and so on: nobody else names them.
      const auto free = static_cast<int32_t>(log_rows_[log_of(s)] - 3);
      const auto table = numbers_.below(static_cast<size_t>(lengths_[s]) - 1, free);
      tables_.insert(tables_.end(), table.begin(), table.end());
      tables_.push_back(free + static_cast<int32_t>(s % 3));
    }
  }

  template <class Runner>
  void run(Runner& runner, CaseReport& report, const std::string& what) {
    std::vector<GuardedOutput<Element, Runner>> logs;
    for (const std::vector<Element>& log : logs_) logs.emplace_back(runner, log);
    std::vector<LogSequence> sequences;
    for (size_t s = 0; s < lengths_.size(); ++s) {
      sequences.push_back({.log = logs[log_of(s)].data(),
                           .part_rows = static_cast<int64_t>(log_rows_[log_of(s)]),
                           .table = begins_[s],
                           .length = lengths_[s]});
    }
    const GuardedOutput<Element, Runner> out(runner, lengths_.size() * width_);
    const Element* const qkv = runner.upload(qkv_);
    runner.cached_attention(CachedAttentionParams<Element>{.q = qkv,
                                                           .k = qkv + width_,
                                                           .v = qkv + 2 * width_,
                                                           .stride = static_cast<int64_t>(3 * width_),
                                                           .sequences = runner.upload(sequences),
                                                           .tables = runner.upload(tables_),
                                                           .layer = kLayer,
                                                           .out = out.data(),
                                                           .out_stride = static_cast<int64_t>(width_),
                                                           .count = static_cast<int64_t>(lengths_.size()),
                                                           .num_heads = kHeads,
                                                           .head_dim = head_dim_,
                                                           .scale = static_cast<float>(scale())});
    for (size_t s = 0; s < lengths_.size(); ++s) append(s);
    for (size_t i = 0; i < logs.size(); ++i) {
      const std::vector<Element> found = logs[i].read(report, what);
      if (std::memcmp(found.data(), logs_[i].data(), found.size() * sizeof(Element)) != 0) {
        report.add(what + ": log " + std::to_string(i));
      }
    }
    const std::vector<Element> found = out.read(report, what);
    for (size_t s = 0; s < lengths_.size(); ++s) {
      for (size_t column = 0; column < width_; column += static_cast<size_t>(head_dim_)) {
        compare(s, column, found, report, what);
      }
    }
  }

 private:
  double scale() const { return 1.0 / std::sqrt(static_cast<double>(head_dim_)); }
  static size_t log_of(size_t sequence) { return sequence / 3; }
  size_t table_entry(size_t s, int32_t position) const {
    return static_cast<size_t>(tables_[static_cast<size_t>(begins_[s] + position)]);
  }
  // Of the layer's keys (0) or values (1).
  size_t log_element(size_t s, size_t part, size_t row) const {
    return ((2 * kLayer + part) * log_rows_[log_of(s)] + row) * width_;
  }

  // What the kernel must have done to the log.
  void append(size_t s) {
    const size_t row = table_entry(s, lengths_[s] - 1);
    for (const size_t part : {0, 1}) {
      const auto from = qkv_.begin() + static_cast<int64_t>((3 * s + 1 + part) * width_);
      std::copy_n(from, width_, logs_[log_of(s)].begin() + static_cast<int64_t>(log_element(s, part, row)));
    }
  }

  Doubles head_of(const std::vector<Element>& from, size_t at) const {
    Doubles head;
    for (int d = 0; d < head_dim_; ++d)
      head.push_back(static_cast<double>(to_float(from[at + static_cast<size_t>(d)])));
    return head;
  }

  void compare(size_t s, size_t column, const std::vector<Element>& found, CaseReport& report,
               const std::string& what) const {
    Doubles keys, values;
    for (int32_t position = 0; position < lengths_[s]; ++position) {
      const size_t row = table_entry(s, position);
      for (const size_t part : {0, 1}) {
        const Doubles each = head_of(logs_[log_of(s)], log_element(s, part, row) + column);
        Doubles& to = part == 0 ? keys : values;
        to.insert(to.end(), each.begin(), each.end());
      }
    }
    const Doubles expected = reference_query(head_of(qkv_, 3 * s * width_ + column), keys, values, scale());
    const Doubles got = head_of(found, s * width_ + column);
    for (size_t d = 0; d < expected.size(); ++d) {
      expect_near(report, what, got[d], expected[d], {half_step<Element>() * 1.01, 3e-6});
    }
  }

  const int head_dim_;
  const size_t width_;
  const std::vector<int32_t> lengths_ = {1, 31, 32, 33, 70};
  const std::vector<size_t> log_rows_ = {150, 60};
  Numbers numbers_;
  std::vector<Element> qkv_;
  std::vector<std::vector<Element>> logs_;
  std::vector<int32_t> tables_;
  std::vector<int32_t> begins_;
};

template <class Element, class Runner>
void cached_attention_case(Runner& runner, CaseReport& report, int head_dim) {
  CachedAttentionBatch<Element>(head_dim).run(
      runner, report,
      std::string("cached attention ") + element_name<Element>() + ", heads of " + std::to_string(head_dim));
}

}  // namespace remuda::kernels::cuda
