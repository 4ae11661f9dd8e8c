#include "generation/scores.h"

#include <algorithm>
#include <cmath>

#include "base/fail.h"
#include "generation/cpu/vocabulary_row.h"

namespace remuda {

namespace {

const VocabularyRowKernels& kernels_of(kernels::Isa isa) {
  switch (isa) {
    case kernels::Isa::kGeneric:
      return kVocabularyRowGeneric;
    case kernels::Isa::kAvx2:
      return kVocabularyRowAvx2;
    case kernels::Isa::kAvx512:
    case kernels::Isa::kAvx512Vnni:
    case kernels::Isa::kAvx512Bf16:
      return kVocabularyRowAvx512;
  }
  return kVocabularyRowGeneric;
}

}  // namespace

ScoreRows::ScoreRows(kernels::Isa isa) : kernels_(&kernels_of(isa)) {}

LogSoftmax ScoreRows::log_softmax(std::span<const float> logits) const {
  const auto n = static_cast<int64_t>(logits.size());
  LogSoftmax result;
  result.max = kernels_->max(logits.data(), n);
  const float sum = kernels_->sum_exp(logits.data(), n, result.max);
  if (!(sum > 0) || !std::isfinite(sum)) {
    fail(ErrorCode::kInvalidArgument,
         "the model's logits are not numbers that a token can be chosen by: there is a NaN or an infinity among {}", n);
  }
  result.log_sum = std::log(sum);
  return result;
}

LogSoftmax ScoreRows::log_softmax(std::span<const float> logits, std::span<float> out) const {
  const LogSoftmax result = log_softmax(logits);
  kernels_->shift(logits.data(), static_cast<int64_t>(logits.size()), result.max, result.log_sum, out.data());
  return result;
}

void ScoreRows::log_softmax_or_nan(std::span<const float> logits, std::span<float> out) const {
  const auto n = static_cast<int64_t>(logits.size());
  const float max = kernels_->max(logits.data(), n);
  const float sum = kernels_->sum_exp(logits.data(), n, max);
  if (sum > 0 && std::isfinite(sum)) {
    kernels_->shift(logits.data(), n, max, std::log(sum), out.data());
  } else {
    std::ranges::fill(out, NAN);
  }
}

int64_t ScoreRows::argmax(std::span<const float> scores) const {
  const auto n = static_cast<int64_t>(scores.size());
  const float max = kernels_->max(scores.data(), n);
  const float below = std::nextafter(max, -INFINITY);
  const int64_t first = kernels_->find_above(scores.data(), 0, n, 0.0f, below);
  return first < n ? first : 0;  // Nothing is above -infinity when all are that.
}

int64_t ScoreRows::next_possible(std::span<const float> scores, int64_t begin) const {
  return kernels_->find_above(scores.data(), begin, static_cast<int64_t>(scores.size()), 0.0f, -INFINITY);
}

void TopCandidates::reset(int64_t k) {
  k_ = k;
  best_.clear();
}

void TopCandidates::scan(std::span<const float> scores, float offset, int64_t base) {
  const auto n = static_cast<int64_t>(scores.size());
  int64_t i = 0;
  for (; i < n && static_cast<int64_t>(best_.size()) < k_; ++i)
    add({scores[static_cast<size_t>(i)] + offset, base + i});
  const auto& find_above = rows_.kernels_->find_above;
  for (; (i = find_above(scores.data(), i, n, offset, best_.back().score)) < n; ++i) {
    add({scores[static_cast<size_t>(i)] + offset, base + i});
  }
}

void TopCandidates::add(Candidate candidate) {
  const bool full = static_cast<int64_t>(best_.size()) == k_;
  if (full && !(candidate.score > best_.back().score)) return;
  const auto worse = [](float score, const Candidate& other) { return score > other.score; };
  const auto place = std::upper_bound(best_.begin(), best_.end(), candidate.score, worse) - best_.begin();
  if (full) best_.pop_back();
  best_.insert(best_.begin() + place, candidate);
}

// ATen/native/TopKImpl.h. The order of equals is that of libstdc++'s algorithms, which PyTorch is built with.
void select_as_torch_topk(std::vector<Candidate>& candidates, int64_t k) {
  const auto greater = [](const Candidate& a, const Candidate& b) {  // Nothing is greater than NaN.
    return (std::isnan(a.score) && !std::isnan(b.score)) || a.score > b.score;
  };
  const auto begin = candidates.begin();
  if (k * 64 <= static_cast<int64_t>(candidates.size())) {
    std::partial_sort(begin, begin + k, candidates.end(), greater);
  } else {
    std::nth_element(begin, begin + k - 1, candidates.end(), greater);
    std::sort(begin, begin + k - 1, greater);
  }
}

}  // namespace remuda
