// MPNet's bias of attention by relative position.
#pragma once

#include <cstdint>

#include "tensor/tensor.h"

namespace remuda::nn {

// The bucket of a key's distance s - t from its query: exact near 0, logarithmic further off, one half of the
// buckets for each direction (Raffel et al. 2020, section 2.1, as MPNet uses it). num_buckets: 4 to 511.
int64_t relative_bucket(int64_t distance, int64_t num_buckets);

// Spreads the biases of buckets, [buckets, num_heads], over distances: [num_heads, 2 * max_distance + 1], entry
// [h][s - t + max_distance].
FloatTensor spread_relative_bias(const FloatTensor& buckets, int64_t max_distance);

}  // namespace remuda::nn
