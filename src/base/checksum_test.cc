#include "base/checksum.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

namespace remuda {
namespace {

std::vector<std::byte> random_bytes(size_t size) {
  std::mt19937 random(static_cast<unsigned>(size));
  std::vector<std::byte> bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

TEST(Checksum, EveryBitOfEverySizeCounts) {
  for (size_t size = 0; size <= 200; ++size) {
    std::vector<std::byte> bytes = random_bytes(size);
    std::set<uint64_t> sums = {checksum(bytes)};
    for (size_t bit = 0; bit < 8 * size; ++bit) {
      const auto mask = static_cast<std::byte>(1 << bit % 8);
      bytes[bit / 8] ^= mask;
      EXPECT_TRUE(sums.insert(checksum(bytes)).second) << "bit " << bit << " of " << size << " bytes";
      bytes[bit / 8] ^= mask;
    }
  }
}

TEST(Checksum, TwoBitsDoNotCancelEachOther) {
  std::vector<std::byte> bytes = random_bytes(512);
  const uint64_t whole = checksum(bytes);
  for (size_t first = 7; first < 8 * bytes.size(); first += 8) {
    for (size_t second = first + 8; second < 8 * bytes.size(); second += 8) {
      // The upper bit of a word is the one that a product alone would keep to itself.
      bytes[first / 8] ^= std::byte{0x80};
      bytes[second / 8] ^= std::byte{0x80};
      EXPECT_NE(checksum(bytes), whole) << first << " and " << second;
      bytes[first / 8] ^= std::byte{0x80};
      bytes[second / 8] ^= std::byte{0x80};
    }
  }
}

TEST(Checksum, ZerosCountByTheirNumber) {
  std::set<uint64_t> sums;
  for (size_t size = 0; size <= 300; ++size) {
    EXPECT_TRUE(sums.insert(checksum(std::vector<std::byte>(size))).second) << size;
  }
}

TEST(Checksum, AddressesDoNotMatter) {
  const std::vector<std::byte> bytes = random_bytes(333);
  for (size_t offset = 0; offset < 64; ++offset) {
    std::vector<std::byte> moved(offset + bytes.size());
    std::copy(bytes.begin(), bytes.end(), moved.begin() + static_cast<std::ptrdiff_t>(offset));
    EXPECT_EQ(checksum(std::span(moved).subspan(offset)), checksum(bytes));
  }
}

}  // namespace
}  // namespace remuda
