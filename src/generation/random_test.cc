#include "generation/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace remuda {
namespace {

using Words = std::array<uint32_t, 4>;

// Known answers that the authors publish with their code (Random123, kat_vectors).
TEST(Philox, GivesTheKnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Uniform, IsUniformAndNeverAnEnd) {
  constexpr int kDraws = 100000, kBins = 20;
  std::array<int, kBins> bins{};
  for (int i = 0; i < kDraws; ++i) {
    const double u = uniform(17, static_cast<uint32_t>(i % 3), static_cast<uint32_t>(i / 3), 5);
    ASSERT_GT(u, 0.0);
    ASSERT_LT(u, 1.0);
    ++bins[static_cast<size_t>(u * kBins)];
  }
  double chi_square = 0;
  for (const int bin : bins) chi_square += std::pow(bin - kDraws / kBins, 2) / (kDraws / kBins);
  EXPECT_LT(chi_square, 43.8);  // 19 degrees of freedom: exceeded once in a thousand seeds.
}

TEST(Uniform, EveryArgumentMatters) {
  const std::set<double> draws{
      uniform(1, 2, 3, 4), uniform(2, 2, 3, 4), uniform(1 + (uint64_t{1} << 32), 2, 3, 4), uniform(1, 3, 3, 4),
      uniform(1, 2, 4, 4), uniform(1, 2, 3, 5), uniform(1, 2, 3, 4 + (uint64_t{1} << 32))};
  EXPECT_EQ(draws.size(), 7u);
}

}  // namespace
}  // namespace remuda
