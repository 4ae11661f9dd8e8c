#include "nn/relative_bias.h"

#include <algorithm>
#include <cmath>

namespace remuda::nn {

int64_t relative_bucket(int64_t distance, int64_t num_buckets) {
  constexpr double kMaxDistance = 128.0;
  const int64_t half = num_buckets / 2;
  const int64_t exact = half / 2;
  const int64_t direction = distance > 0 ? half : 0;
  const int64_t magnitude = std::abs(distance);
  if (magnitude < exact) return direction + magnitude;
  const float share = std::log(static_cast<float>(magnitude) / static_cast<float>(exact)) /
                      static_cast<float>(std::log(kMaxDistance / static_cast<double>(exact)));
  const int64_t far = exact + static_cast<int64_t>(share * static_cast<float>(half - exact));
  return direction + std::min(far, half - 1);
}

FloatTensor spread_relative_bias(const FloatTensor& buckets, int64_t max_distance) {
  const int64_t num_buckets = buckets.shape()[0];
  const int64_t num_heads = buckets.shape()[1];
  const int64_t columns = 2 * max_distance + 1;
  FloatTensor bias({num_heads, columns});
  for (int64_t column = 0; column < columns; ++column) {
    const float* row = buckets.data() + relative_bucket(column - max_distance, num_buckets) * num_heads;
    for (int64_t head = 0; head < num_heads; ++head) bias.data()[head * columns + column] = row[head];
  }
  return bias;
}

}  // namespace remuda::nn
