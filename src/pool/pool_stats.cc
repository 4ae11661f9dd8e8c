#include "remuda/pool_stats.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace remuda {
namespace {

// Four buckets an octave: the position of the highest bit, and the two bits below it.
size_t bucket_of(uint64_t ns) {
  if (ns < 4) return static_cast<size_t>(ns);
  const int octave = static_cast<int>(std::bit_width(ns)) - 1;
  return static_cast<size_t>(4 * (octave - 1)) + static_cast<size_t>((ns >> (octave - 2)) & 3);
}

// The largest duration that falls into a bucket.
uint64_t upper_bound_of(size_t bucket) {
  if (bucket < 4) return bucket;
  const size_t octave = bucket / 4 + 1;
  return ((4 + bucket % 4 + 1) << (octave - 2)) - 1;
}

}  // namespace

void DurationHistogram::record(std::chrono::nanoseconds duration) {
  duration = std::max(duration, std::chrono::nanoseconds(0));
  ++buckets_[std::min(bucket_of(static_cast<uint64_t>(duration.count())), kBuckets - 1)];
  ++count_;
  sum_ += duration;
  max_ = std::max(max_, duration);
}

std::chrono::nanoseconds DurationHistogram::mean() const {
  return count_ == 0 ? std::chrono::nanoseconds(0) : sum_ / static_cast<int64_t>(count_);
}

std::chrono::nanoseconds DurationHistogram::percentile(double p) const {
  if (count_ == 0) return std::chrono::nanoseconds(0);
  const auto wanted = static_cast<uint64_t>(std::ceil(std::clamp(p, 0.0, 1.0) * static_cast<double>(count_)));
  uint64_t seen = 0;
  for (size_t bucket = 0; bucket < kBuckets; ++bucket) {
    seen += buckets_[bucket];
    if (seen >= wanted && seen > 0) {
      return std::min(max_, std::chrono::nanoseconds(static_cast<int64_t>(upper_bound_of(bucket))));
    }
  }
  return max_;
}

}  // namespace remuda
