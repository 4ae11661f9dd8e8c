// Random numbers that are a function of a seed and a position, so that the draws of one search do not depend on which
// others run beside it, and nothing needs to be kept between draws.
#pragma once

#include <array>
#include <cstdint>

namespace remuda {

// Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3" (SC 2011): four 32-bit
// words from a counter and a key.
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// A number above 0 and below 1, uniform on the odd multiples of 2^-53, for the element of a step of a stream.
double uniform(uint64_t seed, uint32_t stream, uint32_t step, uint64_t element);

}  // namespace remuda
