// Packed weights that outlive the process which packed them: the bytes, and views of them.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "base/checksum.h"
#include "kernels/linear.h"
#include "remuda/error.h"

namespace remuda::kernels {
namespace {

const std::vector<Precision> kPrecisions = {Precision::kFp32, Precision::kBf16, Precision::kInt8};

// Of numbers that every machine makes alike.
FloatTensor matrix(int64_t out, int64_t in) {
  FloatTensor values({out, in});
  uint64_t state = 1;
  for (int64_t i = 0; i < out * in; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    values.data()[i] = static_cast<float>(static_cast<int32_t>(state >> 32)) * 0x1p-31f;
  }
  return values;
}

TensorView view_of(const FloatTensor& values) {
  return {DType::kF32, values.shape(), reinterpret_cast<const std::byte*>(values.data())};
}

TEST(PackedWeights, AViewComputesWhatItsOwnerDoes) {
  ComputePool pool(2);
  const FloatTensor a = matrix(70, 33), b = matrix(70, 33), x = matrix(5, 33);
  const std::vector<TensorView> matrices = {view_of(a), view_of(b)};
  for (const Isa isa : available_isas()) {
    for (const Precision precision : kPrecisions) {
      const PackedWeights owner(matrices, precision, pool, isa);
      EXPECT_EQ(owner.bytes(), PackedWeights::packed_bytes(matrices, precision, isa));
      AlignedBuffer copy(owner.bytes());
      std::memcpy(copy.data(), owner.data(), copy.size());
      const PackedWeights view(matrices, precision, std::span(copy.data(), copy.size()), isa);
      EXPECT_EQ(view.data(), copy.data());
      EXPECT_EQ(view.out_features(), 140);
      FloatTensor found({5, 140}), wanted({5, 140});
      linear({x.data(), 5, 33}, view, {}, {found.data(), 5, 140}, pool);
      linear({x.data(), 5, 33}, owner, {}, {wanted.data(), 5, 140}, pool);
      EXPECT_EQ(std::memcmp(found.data(), wanted.data(), found.bytes()), 0) << to_string(isa) << to_string(precision);
    }
  }
}

TEST(PackedWeights, AViewOfAnotherSizeIsRefused) {
  const FloatTensor a = matrix(64, 32);
  const size_t bytes = PackedWeights::packed_bytes({view_of(a)}, Precision::kInt8);
  const AlignedBuffer memory(bytes + 64);
  const auto view = [&](size_t size) {
    return PackedWeights({view_of(a)}, Precision::kInt8, std::span(memory.data(), size));
  };
  EXPECT_NO_THROW(view(bytes));
  EXPECT_THROW(view(bytes - 1), Error);
  EXPECT_THROW(view(bytes + 1), Error);
}

// Files of packed weights name kPackedLayoutVersion and are believed by it. Where this fails because packing was
// changed on purpose, raise the version and put the new sums here.
TEST(PackedWeights, TheLayoutIsThatOfItsVersion) {
  static_assert(kPackedLayoutVersion == 1);
  const std::map<std::string, uint64_t> sums = {
      {"generic fp32", 0x07efb200cc2528b4},     {"generic bf16", 0xa52eb336333b637f},
      {"generic int8", 0x2e59ec1bba7cb1cd},     {"avx2 fp32", 0xe6ec58aecc22ab12},
      {"avx2 bf16", 0x411f8fb35eda441b},        {"avx2 int8", 0x161c332e4a90a008},
      {"avx512 fp32", 0x1a04549c394fd18d},      {"avx512 bf16", 0x67e529689af3258c},
      {"avx512 int8", 0x59cd86f269c77bc9},      {"avx512_vnni fp32", 0x1a04549c394fd18d},
      {"avx512_vnni bf16", 0x67e529689af3258c}, {"avx512_vnni int8", 0x2c16cf4d7bca0391},
      {"avx512_bf16 fp32", 0x1a04549c394fd18d}, {"avx512_bf16 bf16", 0x3a522c596dd1d250},
      {"avx512_bf16 int8", 0x2c16cf4d7bca0391},
  };
  ComputePool pool(1);
  const FloatTensor a = matrix(75, 45);
  for (const Isa isa : available_isas()) {
    for (const Precision precision : kPrecisions) {
      const PackedWeights packed({view_of(a)}, precision, pool, isa);
      const std::string name = fmt::format("{} {}", to_string(isa), to_string(precision));
      const auto found = sums.find(name);
      ASSERT_NE(found, sums.end()) << name;
      EXPECT_EQ(checksum({packed.data(), packed.bytes()}), found->second) << name;
    }
  }
}

}  // namespace
}  // namespace remuda::kernels
