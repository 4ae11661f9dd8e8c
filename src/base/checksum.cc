#include "base/checksum.h"

#include <array>
#include <cstring>

namespace remuda {
namespace {

// Odd, so that multiplying by it loses nothing; the bits are those of the golden ratio.
constexpr uint64_t kMultiplier = 0x9e3779b97f4a7c15;

// For either argument held fixed, a bijection of the other: a changed word stays a changed sum. A product's upper bits
// depend on all bits, its lower ones on few; the shift brings the ones to the others.
uint64_t mix(uint64_t sum, uint64_t word) {
  const uint64_t product = (sum ^ word) * kMultiplier;
  return product ^ product >> 32;
}

}  // namespace

uint64_t checksum(std::span<const std::byte> bytes) {
  // One sum would wait for each product; eight keep the multiplier busy.
  constexpr size_t kLanes = 8;
  constexpr size_t kWord = sizeof(uint64_t);
  std::array<uint64_t, kLanes> sums = {1, 2, 3, 4, 5, 6, 7, 8};
  const auto add = [&sums](const std::byte* data) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      uint64_t word;
      std::memcpy(&word, data + lane * kWord, kWord);
      sums[lane] = mix(sums[lane], word);
    }
  };
  const std::byte* data = bytes.data();
  size_t left = bytes.size();
  for (; left >= kLanes * kWord; left -= kLanes * kWord, data += kLanes * kWord) add(data);
  if (left > 0) {
    std::array<std::byte, kLanes * kWord> rest = {};
    std::memcpy(rest.data(), data, left);
    add(rest.data());
  }
  uint64_t sum = bytes.size();  // Tells zeros at the end from the padding.
  for (const uint64_t lane : sums) sum = mix(sum, lane);
  return sum;
}

}  // namespace remuda
